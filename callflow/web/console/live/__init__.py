"""What operators watch live: the wall of all calls, one call as it goes on, and the interfaces of the older systems."""
