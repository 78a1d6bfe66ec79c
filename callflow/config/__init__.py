"""The settings: where they are read, in which order, what is wrong with them, and profiles of numbers."""
