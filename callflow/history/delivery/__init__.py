"""Sends the events of the history to EVENTS_URL, and asks CALLER_LOOKUP, signed as Standard Webhooks."""
