"""The carriers' listener: webhooks, media sockets, and a few pages. Begin with `webhooks.py`."""
