"""What the emulated carriers and the telephone share: sockets, webhooks, pacing, faults. Begin with `emulator.py` and
`phone.py`."""
