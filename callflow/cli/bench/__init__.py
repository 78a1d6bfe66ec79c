"""Benches: what a call costs, how many fit on a machine, and how a cluster behaves. Not a part of the server."""
