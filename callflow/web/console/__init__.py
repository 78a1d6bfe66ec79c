"""The operators' listener: its routes, who may use them, and the page."""
