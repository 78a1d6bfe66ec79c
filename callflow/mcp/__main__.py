"""`python -m callflow.mcp`: the history of the calls as an MCP server on standard input and output."""

from __future__ import annotations

import sys

from callflow import runtime


if __name__ == "__main__":
    runtime.begin("-m", "callflow.mcp")
    from callflow.mcp.stdio import main

    try:
        code = main()
    except KeyboardInterrupt:
        code = runtime.INTERRUPTED
    sys.exit(code)
