"""OpenAI as a carrier (SIP): `webhooks.py` reads its reports, `carrier.py` sends commands; audio never comes here."""
