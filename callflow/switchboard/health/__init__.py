"""How the server is, by its own judgement, and what becomes an alert. Begin with `findings.py` and `service.py`."""
