"""Emulated carriers and models, and a telephone: for tests, demo and bench."""
