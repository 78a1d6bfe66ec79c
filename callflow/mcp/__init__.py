"""The history of the calls as an MCP server, for language models. It changes nothing."""
