"""The control endpoint, as this server asks it about its own calls, and as it answers others. Begin with `ask.py` for
the first, and `service.py` for the second."""
