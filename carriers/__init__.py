"""The telephone carriers: one package each, and the registry that makes them from the settings."""
