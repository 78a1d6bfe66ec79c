"""The control endpoint, as this server asks it about its own calls, and as it answers others."""
