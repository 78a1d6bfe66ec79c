"""Several processes with one history: nodes, leases, claims, and the requests between nodes. Begin with `nodes.py`."""
