"""What the emulated carriers and the telephone share: sockets, webhooks, pacing, faults."""
