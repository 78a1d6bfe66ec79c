"""The control endpoint: its runtime settings, and what our own calls ask it."""
