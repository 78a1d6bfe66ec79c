"""`server.py demo`: spoken calls on this machine, with an emulated carrier and model, and what must happen in them."""
