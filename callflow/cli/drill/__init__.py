"""`server.py drill`: what the caller hears when server, model or database break."""
