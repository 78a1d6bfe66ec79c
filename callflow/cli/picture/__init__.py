"""One call as a picture: both voices, what was said, and what of it was heard."""
