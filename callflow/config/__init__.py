"""Settings: their defaults, the layers they are read from, their old names, and profiles. Begin with `settings.py` and
`loader.py`."""
