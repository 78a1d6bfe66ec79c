"""Twilio: Programmable Voice with TwiML and REST, and its media streams."""
