"""A tools.py of a test, and what its tools answer."""

from __future__ import annotations

import asyncio
import json
import textwrap
from pathlib import Path
from typing import Any

from callflow.tools.registry import ToolContext, Tools


def written(folder: Path, source: str) -> Path:
    """Write this source into a tools.py of the folder."""
    path = folder / "tools.py"
    path.write_text(textwrap.dedent(source))
    return path


def answer(tools: Tools, name: str, arguments: str = "{}", *, seconds: float = 2.0, call: str = "") -> Any:
    result = asyncio.run(tools.run(name, arguments, ToolContext(call), seconds=seconds))
    assert isinstance(json.loads(result.output), object)
    return json.loads(result.output), result.ok
