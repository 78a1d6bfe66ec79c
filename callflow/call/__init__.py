"""One call's signalling: mailbox, machine, journal, commands, restore. Begin with `machine/table.py`, `call.py`."""
