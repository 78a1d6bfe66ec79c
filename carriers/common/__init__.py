"""What all carriers share: HTTP with retries, reading media frames, downloads, checks of `doctor`. Begin with
`http_client.py`."""
