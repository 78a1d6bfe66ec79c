"""All live calls: admission, dialling, campaigns, budget, drain, recovery. Begin with `switchboard.py`."""
