"""What the calls of a day may take: minutes and dollars, by profile and in all. Begin with `budget.py`."""
