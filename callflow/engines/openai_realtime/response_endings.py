"""How each response ended: what of it could be heard, what it called, what it left to the server. Pure.

The status that a server gives a response does not tell whether a caller has heard an answer. What came of it does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple

from callflow.engines.openai_realtime.response_queue import Ending
from callflow.media.g711 import ULAW_TO_LINEAR


_SILENT: Final = bytes(code for code in range(256) if abs(ULAW_TO_LINEAR[code]) <= 100)
"""50 dB below full scale and less: an idle line."""
_AUDIBLE_BYTES: Final = 160
"""So much beyond that is a sound: 20 ms."""
_MOST_ITEMS: Final = 64
"""Of one response."""
_MOST_RESPONSES: Final = 64
_PROMISES: Final = ("function_call", "mcp_call", "mcp_approval_request")
"""Items behind which more has to come."""
_REMOTE: Final = ("mcp_call", "mcp_approval_request", "mcp_list_tools")


class Asked(NamedTuple):
    """The server asks whether it may use a tool of its own."""

    id: str
    server: str
    tool: str


@dataclass(slots=True)
class _Tally:
    audible: int = 0
    texts: bool = False
    items: dict[str, None] = field(default_factory=dict)
    sounding: set[str] = field(default_factory=set)
    """Those of them that had audio."""
    promises: bool = False
    """The last thing in it was no sound, but something behind which more has to come."""
    remote: dict[str, bool] = field(default_factory=dict)
    """Each item that the server works on by itself, and whether that is done."""


class Endings:
    def __init__(self) -> None:
        self._tallies: dict[str, _Tally] = {}

    def _of(self, response: str) -> _Tally:
        tally = self._tallies.get(response)
        if tally is None:
            if len(self._tallies) >= _MOST_RESPONSES:  # a server that never ends what it began
                del self._tallies[next(iter(self._tallies))]
            tally = self._tallies[response] = _Tally()
        return tally

    def sound(self, response: str, item: str, ulaw: bytes) -> None:
        tally = self._of(response)
        _note(tally.items, item)
        tally.promises = False
        if len(tally.sounding) < _MOST_ITEMS:
            tally.sounding.add(item)
        if tally.audible < _AUDIBLE_BYTES:
            tally.audible += len(ulaw.translate(None, _SILENT))

    def words(self, response: str, item: str) -> None:
        tally = self._of(response)
        tally.texts = True
        _note(tally.items, item)

    def item_done(self, response: str, item: Any) -> None:
        """An item of a response is complete."""
        if isinstance(item, Mapping):
            self._read(self._of(response), item)

    def end(self, response: str, status: str, code: str, output: Any, *, calls: bool) -> tuple[Ending, tuple[str, ...]]:
        """How it ended, and the message items that it had. `calls`: it calls tools that are ours to answer."""
        tally = self._tallies.pop(response, None) or _Tally()
        nameless = self._tallies.pop("", None)
        if nameless is not None:  # a server that does not say which response its audio belongs to
            tally.audible += nameless.audible
            tally.texts |= nameless.texts
            tally.items |= nameless.items
            tally.sounding |= nameless.sounding
        for item in output if isinstance(output, Sequence) and not isinstance(output, str) else ():
            if isinstance(item, Mapping):
                self._read(tally, item)
        remote: Literal["", "done", "runs"] = ""
        if tally.remote:
            remote = "done" if all(tally.remote.values()) else "runs"
        sounds = tally.audible >= _AUDIBLE_BYTES
        return Ending(status, code, sounds, tally.texts, calls, remote, tally.promises), tuple(tally.items)

    @staticmethod
    def _read(tally: _Tally, item: Mapping[str, Any]) -> None:
        kind, name = item.get("type"), item.get("id")
        tally.promises |= kind in _PROMISES
        if kind == "message":
            tally.promises &= name not in tally.sounding
            tally.texts |= _has_text(item.get("content"))
            if isinstance(name, str) and name:
                _note(tally.items, name)
        elif kind in _REMOTE and len(tally.remote) < _MOST_ITEMS:
            done = kind != "mcp_call" or item.get("output") is not None or item.get("error") is not None
            tally.remote[str(name)] = done or tally.remote.get(str(name), False)


def asked(item: Any) -> Asked | None:
    """The question in an item that asks for leave; None: it is another."""
    if not isinstance(item, Mapping) or item.get("type") != "mcp_approval_request":
        return None
    name = item.get("id")
    if not isinstance(name, str) or not name:
        return None
    return Asked(name, str(item.get("server_label") or "")[:200], str(item.get("name") or "")[:200])


def _note(items: dict[str, None], item: str) -> None:
    if len(items) < _MOST_ITEMS:
        items[item] = None


def _has_text(content: Any) -> bool:
    parts = content if isinstance(content, list) else []
    return any(isinstance(part, Mapping) and (part.get("text") or part.get("transcript")) for part in parts)
