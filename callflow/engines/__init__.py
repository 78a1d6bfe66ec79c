"""The protocols of the voice models, and facts about models and their prices."""
