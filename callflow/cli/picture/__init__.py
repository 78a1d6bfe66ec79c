"""Draws a call as an SVG: both voices on a time axis, and what was said and heard."""
