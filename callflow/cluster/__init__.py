"""Which process looks after which calls of a history: nodes, leases, claims, requests between nodes."""
