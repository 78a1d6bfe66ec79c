"""Protocols of the voice models, a folder for each, and the facts about the models, `models.toml`."""
