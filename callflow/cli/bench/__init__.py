"""Benchmarks: what the server adds to a call, and what database and cluster carry."""
