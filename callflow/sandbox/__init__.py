"""Emulated carriers and models, and a telephone: for tests, demo and bench. Begin with `common/emulator.py` and
`common/phone.py`. A call begins with `ring` of `telnyx/emulator.py` and `twilio/emulator.py`."""
