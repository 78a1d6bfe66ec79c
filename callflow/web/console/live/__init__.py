"""What operators watch live: the wall of all calls, one call as it goes on, and the doors of the older systems."""
