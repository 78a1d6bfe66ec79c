"""The public listener: the carriers' webhooks and media sockets, and a few pages."""
