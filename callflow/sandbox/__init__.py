"""Emulated carriers and models, and a telephone: for tests, demo and bench. Begin with `common/emulator.py` and
`common/phone.py`."""
