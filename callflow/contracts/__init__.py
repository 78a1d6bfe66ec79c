"""Types that the packages share, without I/O: events, commands, errors, what a carrier or engine must do."""
