"""A simulated cluster in virtual time, in which nodes and the database fail."""
