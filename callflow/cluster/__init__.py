"""Several processes with one history: nodes, leases, claims, and the requests between nodes.

Begin with `nodes.py` and `membership.py`. `destination.py` decides where a webhook goes, and `forwarding.py` sends it.
`claims.py` knows the calls that this node has, and keeps it from writing about others; `node_store.py` takes those of a
dead node.
"""
