"""The command line. `arguments.py` has every command and option; each command loads only what it needs."""
