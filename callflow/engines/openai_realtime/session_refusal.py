"""What a server refuses of a session is left out of it, and the rest kept. Pure.

A server takes a `session.update` as a whole or not at all. It names what it refuses by a path
(`session.tools[0].foo`), as the error's `param` or in its message. Nothing of a session is named by its place in a
list: tools go by what they are called, so that what was refused once is found in the next session, too.
"""

from __future__ import annotations

import copy
import hashlib
import re
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from callflow.engines.openai_realtime.session_config import PCM24


Path = tuple[str, ...]

MOST_TRIES: Final = 8
"""Updates in which a session may ask for less and less."""
_MOST_MEMORIES: Final = 64
_MEMORY_SECONDS: Final = 3600.0
"""Then it is asked for again: servers learn."""

_NEEDED: Final[frozenset[Path]] = frozenset({(), ("type",), ("instructions",), ("tools",), ("audio",)})
"""Without these, what remains would be no session, or another agent's."""
_TURNS: Final = frozenset({"create_response", "interrupt_response"})
_OF_A_TOOL: Final = frozenset(
    {
        *("type", "name", "parameters"),
        *("server_label", "server_url", "connector_id", "tunnel_id", "authorization", "headers"),
        *("allowed_tools", "allowed_callers"),  # without them it could do more than it may
    }
)
"""Without these it is no tool any more, or another."""
_OF_AN_OBJECT: Final = frozenset({"type", "model", "id", "name"})
_QUOTED: Final = re.compile(r"['\"`]([^'\"`\s]{1,200})['\"`]")
_STEP: Final = re.compile(r"[^.\[\]/]+")


def culprit(session: Mapping[str, Any], param: Any, message: str) -> Path | None:
    """What to leave out of a session that was refused; None: nothing of it is named, or it cannot be done without."""
    if isinstance(param, str) and (path := _found(session, _steps(param))):
        return _to_leave_out(session, path)
    for name in _QUOTED.findall(message):
        steps = _steps(name)
        path = _found(session, steps)
        if path and (len(path) == len(steps) or name.startswith("session")):
            return _to_leave_out(session, path)
    return None


def without(session: dict[str, Any], paths: Iterable[Path]) -> dict[str, Any]:
    """The session, or a part of one, without those; formats and turns in the form that every server takes."""
    left = copy.deepcopy(session)
    for path in paths:
        _leave_out(left, path)
    return left


def functions_only(session: dict[str, Any]) -> dict[str, Any]:
    """The session without tools that are not run here."""
    return session | {"tools": [tool for tool in session["tools"] if tool.get("type") == "function"]}


def shown(path: Path) -> str:
    return ".".join(("session", *path))


class Memory:
    """What was left out of sessions, for others that ask the same account for the same."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, Path, str], float] = OrderedDict()

    def recall(self, account: str, session: Mapping[str, Any], now: float) -> tuple[Path, ...]:
        """What of this session was refused before, in the same words. `account`: whom it is asked of."""
        return tuple(
            path
            for (of, path, value), since in self._known.items()
            if of == account and now - since < _MEMORY_SECONDS and value == _digest(session, path)
        )

    def keep(self, account: str, session: Mapping[str, Any], paths: Iterable[Path], now: float) -> None:
        for path in paths:
            key = account, path, _digest(session, path)
            if now - self._known.get(key, -_MEMORY_SECONDS) >= _MEMORY_SECONDS:
                self._known[key] = now
                self._known.move_to_end(key)
        while len(self._known) > _MOST_MEMORIES:
            self._known.popitem(last=False)


def _digest(session: Mapping[str, Any], path: Path) -> str:
    """Of what stands there, as it was wanted; of a tool, all of it. Empty if there is nothing."""
    at: Any = session
    for step in path[:2] if path[0] == "tools" else path:
        if isinstance(at, list):
            at = dict(zip(_names(at), at, strict=True)).get(step)
        else:
            at = at.get(step) if isinstance(at, Mapping) else None
        if at is None:
            return ""
    return hashlib.sha256(msgspec.json.encode(at)).hexdigest()


def _steps(name: str) -> list[str]:
    steps = _STEP.findall(name)
    return steps[1:] if steps[:1] == ["session"] else steps


def _found(session: Mapping[str, Any], steps: Iterable[str]) -> Path:
    """As much of the path as there is in the session. What is missing in an object stands for the object."""
    at: Any = session
    path: Path = ()
    for step in steps:
        if isinstance(at, Mapping) and step in at:
            at, path = at[step], (*path, step)
        elif path == ("tools",) and step.isdecimal() and int(step) < len(at):
            path = (*path, _names(at)[int(step)])
            at = at[int(step)]
        else:
            break
    return path


def _names(tools: Iterable[Mapping[str, Any]]) -> list[str]:
    names: list[str] = []
    for tool in tools:
        name = f"{tool.get('type')}:{tool.get('server_label') or tool.get('name')}"
        names.append(name if name not in names else f"{name}#{len(names)}")
    return names


def _to_leave_out(session: Mapping[str, Any], path: Path) -> Path | None:
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


def _default(path: Path, value: Any) -> Any:
    """What a phone call needs, in the form that every server takes."""
    if path[2] == "format":
        return PCM24
    turns = value if isinstance(value, Mapping) else {}
    return {"type": "server_vad", **{name: turns[name] for name in sorted(_TURNS & turns.keys())}}


def _leave_out(session: dict[str, Any], path: Path) -> None:
    *above, last = path
    at: Any = session
    way: list[tuple[Any, str]] = []
    for n, step in enumerate(above):
        if isinstance(at, list):
            names = _names(at)
            following = at[names.index(step)] if step in names else None
        else:
            following = at.get(step)
            if path[0] != "tools" and (path[0] != "audio" or n > 1):  # may go when nothing is left of it
                way.append((at, step))
        if not isinstance(following, dict | list):
            return
        at = following
    if isinstance(at, list):
        at[:] = [tool for tool, name in zip(at, _names(at), strict=True) if name != last]
    elif len(path) == 3 and path[0] == "audio" and last in ("format", "turn_detection"):
        if at.get(last) is not None:
            at[last] = _default(path, at[last])
    else:
        at.pop(last, None)
        for parent, step in reversed(way):
            if not parent[step]:
                del parent[step]
