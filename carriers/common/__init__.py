"""What the adapters of all carriers share: HTTP with retries, media frames, downloads, checks."""
