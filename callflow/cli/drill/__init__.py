"""`server.py drill`: breaks the server under calls, and shows what callers hear. Begin with `drill.py`."""
