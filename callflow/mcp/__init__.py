"""The history of the calls, as an MCP server tells it. Begin with `server.py`."""
