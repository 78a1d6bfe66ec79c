"""The versions of the schema, a module for each: what it adds to the one before."""
