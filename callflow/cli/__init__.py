"""The command line: a module for each command. `arguments.py` has all their options; each loads only what it needs.

Begin with `serve.py`, `demo/` and `doctor.py`.
"""
