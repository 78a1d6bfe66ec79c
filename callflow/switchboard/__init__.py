"""All live calls: admission, dialling, campaigns, budget, drain, recovery.

Begin with `switchboard.py`. `cluster_duties.py` takes over the calls of nodes that have died.
"""
