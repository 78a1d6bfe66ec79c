"""How the server is, by its own judgement, and what becomes an alert."""
