"""Lists of calls: which rows are dialled, when and whether again (`schedule.py`), how fast (`pace.py`), and what a call
came to (`outcomes.py`). Begin with `campaigns.py`, which takes a list, and `runner.py`, which dials its rows."""
