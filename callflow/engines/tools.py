"""The old name of `callflow.tools`, for a `tools.py` that was written for an earlier version.

Write `from callflow import tool`.
"""

from callflow.tools.registry import Tool, ToolContext, ToolResult, tool


__all__ = ["Tool", "ToolContext", "ToolResult", "tool"]
