"""OpenAI Realtime: a session that speaks in turns. Begin with `adapter.py` and `response_queue.py`.

`session_config.py`: what is asked of a session, the end of a turn (VAD) among it; `audio_format.py`: µ-law to
and from PCM.
"""
