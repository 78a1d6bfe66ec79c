"""The steps from one version of the schema to the next, in the order of their numbers."""
