"""Leaves refused fields out of a session, and keeps the rest. Pure.

A server accepts a `session.update` as a whole or refuses it as a whole. It names the refused field by a path
(`session.tools[0].foo`), as the error's `param` or in its message. Our paths name a tool by type and name instead of
index, so that a refused field is recognised in later sessions.

Vendor: https://platform.openai.com/docs/api-reference/realtime-server-events/error
"""

from __future__ import annotations

import copy
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

from callflow.engines.common.refused_fields import FieldPath, tool_names
from callflow.engines.openai_realtime.session_config import PCM24


_NEEDED: Final[frozenset[FieldPath]] = frozenset({(), ("type",), ("instructions",), ("tools",), ("audio",)})
"""Fields that are never left out: without them the session would be invalid, or be another agent."""
_TURNS: Final = frozenset({"create_response", "interrupt_response"})
"""Fields of `turn_detection` that are never left out."""
_OF_A_TOOL: Final = frozenset(
    {
        *("type", "name", "parameters"),
        *("server_label", "server_url", "connector_id", "tunnel_id", "authorization", "headers"),
        *("allowed_tools", "allowed_callers"),  # without them the model could do more than it is allowed to
    }
)
"""Fields of a tool that are never left out alone: the whole tool is left out."""
_OF_AN_OBJECT: Final = frozenset({"type", "model", "id", "name"})
"""Fields that are never left out alone: the whole object is left out."""
_QUOTED: Final = re.compile(r"['\"`]([^'\"`\s]{1,200})['\"`]")
_STEP: Final = re.compile(r"[^.\[\]/]+")


def refused_field(session: Mapping[str, Any], param: Any, message: str) -> FieldPath | None:
    """Return what to leave out of a session that was refused.

    `param` and `message`: of the error. None: the error names no field of the session, or a needed field.
    """
    if isinstance(param, str) and (path := _found(session, _steps(param))):
        return _to_leave_out(session, path)
    for name in _QUOTED.findall(message):
        steps = _steps(name)
        path = _found(session, steps)
        if path and (len(path) == len(steps) or name.startswith("session")):
            return _to_leave_out(session, path)
    return None


def without(session: dict[str, Any], paths: Collection[FieldPath]) -> dict[str, Any]:
    """Return a session, or a part of one, without these fields; where there are none, itself.

    An audio format or a turn detection is not removed, but replaced by the form that every server accepts.
    """
    left = copy.deepcopy(session) if paths else session
    for path in paths:
        _leave_out(left, path)
    return left


def functions_only(session: dict[str, Any]) -> dict[str, Any]:
    """Return the session without the tools that the server would run."""
    return session | {"tools": [tool for tool in session["tools"] if tool.get("type") == "function"]}


def shown(path: FieldPath) -> str:
    """Return a path as text: "session.tools.mcp:shop.headers"."""
    return ".".join(("session", *path))


def _steps(name: str) -> list[str]:
    steps = _STEP.findall(name)
    return steps[1:] if steps[:1] == ["session"] else steps


def _found(session: Mapping[str, Any], steps: Iterable[str]) -> FieldPath:
    """Return the longest part of the path that exists in the session: a missing field stands for its object."""
    at: Any = session
    path: FieldPath = ()
    for step in steps:
        if isinstance(at, Mapping) and step in at:
            at, path = at[step], (*path, step)
        elif path == ("tools",) and step.isdecimal() and int(step) < len(at):
            path = (*path, tool_names(at)[int(step)])
            at = at[int(step)]
        else:
            break
    return path


def _to_leave_out(session: Mapping[str, Any], path: FieldPath) -> FieldPath | None:
    """Return the smallest part around this field that can be left out; None: the field is needed."""
    if path in _NEEDED or (path[0] == "audio" and len(path) == 2):
        return None
    if path[0] == "tools":
        return path[:2] if len(path) == 2 or path[2] in _OF_A_TOOL else path[:3]
    if path[0] == "audio" and path[2] in ("format", "turn_detection"):
        if len(path) > 3 and path[3] in _TURNS:
            return None
        if len(path) > 3 and path[3] != "type":
            return path[:4]
        now = session["audio"][path[1]][path[2]]
        return path[:3] if now != _default(path, now) else None
    for n, step in enumerate(path):
        if n and step in _OF_AN_OBJECT:
            return path[:n]
    return path


def _default(path: FieldPath, value: Any) -> Any:
    """Return a format or a turn detection in the form that every server accepts."""
    if path[2] == "format":
        return PCM24
    turns = value if isinstance(value, Mapping) else {}
    return {"type": "server_vad", **{name: turns[name] for name in sorted(_TURNS & turns.keys())}}


def _leave_out(session: dict[str, Any], path: FieldPath) -> None:
    *above, last = path
    at: Any = session
    way: list[tuple[Any, str]] = []
    for n, step in enumerate(above):
        if isinstance(at, list):
            names = tool_names(at)
            following = at[names.index(step)] if step in names else None
        else:
            following = at.get(step)
            if path[0] != "tools" and (path[0] != "audio" or n > 1):  # removed when nothing is left in it
                way.append((at, step))
        if not isinstance(following, dict | list):
            return
        at = following
    if isinstance(at, list):
        at[:] = [tool for tool, name in zip(at, tool_names(at), strict=True) if name != last]
    elif len(path) == 3 and path[0] == "audio" and last in ("format", "turn_detection"):
        if at.get(last) is not None:
            at[last] = _default(path, at[last])
    else:
        at.pop(last, None)
        for parent, step in reversed(way):
            if not parent[step]:
                del parent[step]
