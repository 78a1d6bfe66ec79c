"""Protocols of the voice models, a folder for each, and the facts about the models, `models.toml`.

Begin with `openai_realtime/adapter.py`, `openai_realtime/response_queue.py` and `openai_live/turns.py`.
"""
