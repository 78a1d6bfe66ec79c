"""`python -m callflow.mcp`: the record of the calls as an MCP server on standard input and output."""

from __future__ import annotations

import sys

from callflow import launch


if __name__ == "__main__":
    launch.begin("-m", "callflow.mcp")
    from callflow.history.mcp_stdio import main

    try:
        code = main()
    except KeyboardInterrupt:
        code = launch.INTERRUPTED
    sys.exit(code)
