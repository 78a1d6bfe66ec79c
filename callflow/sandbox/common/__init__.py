"""What every emulated carrier has in common: its port, its calls, the telephones and their audio, the faults."""
