"""Other projects' servers for calls, which the benchmark compares with."""
