"""The types that packages share, and helpers on text: events, commands, errors, carriers, media, engines. No I/O.

Begin with `events.py` and `carrier.py`.
"""
