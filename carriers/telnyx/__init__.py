"""Telnyx: `webhooks.py` reads what it reports, `carrier.py` sends it commands, `media.py` knows its frames."""
