"""Sends events to EVENTS_URL, in order and again after failures, and signs them. Begin with `sender.py`."""
