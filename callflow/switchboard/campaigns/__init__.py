"""Lists of calls: which rows are dialled, when (`plan.py`), how fast (`pace.py`), and what became of each."""
