"""OpenAI as a carrier (SIP): `webhooks.py` reads its reports, `carrier.py` accepts, rejects and refers.
Audio never comes here."""
