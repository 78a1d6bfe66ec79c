"""One folder for each carrier, with the same file names; `registry.py` makes them from the settings."""
