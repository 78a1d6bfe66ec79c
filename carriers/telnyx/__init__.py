"""Telnyx: Call Control v2, and its media streams."""
