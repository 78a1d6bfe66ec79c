"""OpenAI's full-duplex models: a session in which both sides may speak at once. Begin with `turns.py`."""
