"""`server.py demo`: whole spoken calls on this machine, without keys. Begin with `demo.py`."""
