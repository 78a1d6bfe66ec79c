"""What one call writes down: entries, kinds of notes, redaction, the live feed, and a timeline in words. Begin with
`journal.py` and `notes.py`."""
