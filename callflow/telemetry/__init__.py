"""What `/metrics` tells, counted from the journal's entries; the lag of the event loop; a trace of each call."""
