"""A cluster of many nodes in one process, in which the clock is simulated; the decisions are the product's own."""
