"""Twilio: `webhooks.py` reads what it reports, `twiml.py` writes what it is answered, `carrier.py` sends commands."""
