"""What operators watch live: the wall of all calls, one call as it goes on, and the interfaces of the older systems.

`story.py`: what a browser that comes back has missed; `sse.py`: who is let go for being slow.
"""
