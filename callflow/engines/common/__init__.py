"""What the protocols of all models share: the account, the sockets, and the end of a session."""
