"""One call's signalling: mailbox, state machine, deadlines, commands, media streams, replay and restore."""
