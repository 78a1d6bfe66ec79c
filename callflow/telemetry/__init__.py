"""What `/metrics` tells, and the trace of each call: counted from the entries of the journal.

Begin with `metrics.py` and `call_metrics.py`.
"""
