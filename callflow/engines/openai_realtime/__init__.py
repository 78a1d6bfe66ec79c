"""OpenAI Realtime: a session that speaks in turns. Begin with `adapter.py` and `response_queue.py`."""
