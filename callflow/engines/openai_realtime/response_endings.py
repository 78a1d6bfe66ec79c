"""Determines how each response ended: whether it was audible, which tools it called, whether the server continues it.
Pure.

The status of a response does not show whether the caller could hear an answer; its content does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple

from callflow.media.g711 import ULAW_TO_LINEAR


_SILENT: Final = bytes(code for code in range(256) if abs(ULAW_TO_LINEAR[code]) <= 100)
"""µ-law codes of samples 50 dB below full scale or less, as an idle line has them."""
_AUDIBLE_BYTES: Final = 160
"""This many µ-law bytes above silence make a response audible: 20 ms."""
_MOST_ITEMS: Final = 64
"""The most items of one response."""
_MOST_RESPONSES: Final = 64
_PROMISES: Final = ("function_call", "mcp_call", "mcp_approval_request")
"""Types of items after which more output must follow."""
_REMOTE: Final = ("mcp_call", "mcp_approval_request", "mcp_list_tools")
"""Types of items about tools that the server runs."""


class ApprovalRequest(NamedTuple):
    """The server asks whether it may call a tool of a remote MCP server.

    Vendor: https://platform.openai.com/docs/guides/realtime-mcp
    """

    id: str
    server: str
    tool: str


class ResponseEnding(NamedTuple):
    """How a response ended."""

    status: str = "completed"
    code: str = ""
    """The code of a failure, or the reason of an incomplete response."""
    sounds: bool = True
    """The response had audible audio."""
    texts: bool = False
    """The response had text or a transcript."""
    calls: bool = False
    """The response called tools of ours, which will be answered."""
    remote: Literal["", "done", "runs"] = ""
    """The server runs a tool for the response, or asks for approval."""
    promises: bool = False
    """After the last audio comes a tool call of any kind, so more output must follow."""

    @property
    def breaks_off(self) -> bool:
        """Return whether the response ended in the middle of its speech."""
        return self.sounds and self.status in ("failed", "incomplete", "cancelled")

    @property
    def is_whole(self) -> bool:
        """Return whether the response was audible and complete."""
        return self.sounds and not self.breaks_off and not self.promises

    @property
    def waits_for_server(self) -> bool:
        """Return whether the answer depends on a tool that the server runs."""
        return bool(self.remote) and (self.promises or not self.sounds)


@dataclass(slots=True)
class _Tally:
    """The content of one response so far."""

    audible: int = 0
    """µ-law bytes above silence, counted up to `_AUDIBLE_BYTES`."""
    texts: bool = False
    items: dict[str, None] = field(default_factory=dict)
    """Ids of the response's messages, in order."""
    sounding: set[str] = field(default_factory=set)
    """Ids of the messages that had audio."""
    promises: bool = False
    """After the last audio came an item that promises more output."""
    remote: dict[str, bool] = field(default_factory=dict)
    """Ids of items about tools that the server runs, each with whether the tool is done."""


class ResponseEndings:
    """Collects the content of each response until its end."""

    def __init__(self) -> None:
        self._tallies: dict[str, _Tally] = {}

    def _tally(self, response: str) -> _Tally:
        tally = self._tallies.get(response)
        if tally is None:
            if len(self._tallies) >= _MOST_RESPONSES:  # a server that never ends its responses
                del self._tallies[next(iter(self._tallies))]
            tally = self._tallies[response] = _Tally()
        return tally

    def add_audio(self, response: str, item: str, ulaw: bytes) -> bool:
        """Add a piece of audio that the caller could hear. Returns whether more audio of this item would change
        nothing."""
        tally = self._tally(response)
        tally.promises = False
        if item not in tally.sounding or item not in tally.items:
            _note(tally.items, item)
            if len(tally.sounding) < _MOST_ITEMS:
                tally.sounding.add(item)
        if tally.audible < _AUDIBLE_BYTES:
            tally.audible += len(ulaw.translate(None, _SILENT))
        return tally.audible >= _AUDIBLE_BYTES

    def add_words(self, response: str, item: str) -> None:
        """Note that an item has text or a transcript."""
        tally = self._tally(response)
        tally.texts = True
        _note(tally.items, item)

    def add_item(self, response: str, item: Any) -> None:
        """Add a complete item of a response, as the server sent it."""
        if isinstance(item, Mapping):
            self._read(self._tally(response), item)

    def sounds(self, response: str) -> bool:
        """Return whether a response that has not ended was audible so far."""
        return response in self._tallies and self._tallies[response].audible >= _AUDIBLE_BYTES

    def end(
        self, response: str, status: str, code: str, output: Any, *, calls: bool, keep: bool = False
    ) -> tuple[ResponseEnding, tuple[str, ...]]:
        """End a response. Returns how it ended, and the ids of its messages.

        `output`: the items in `response.done`; `calls`: the response has called tools that we must answer.
        `keep`: more of it may come, so that it is ended once more.
        """
        tally = self._tallies.pop(response, None) or _Tally()
        nameless = self._tallies.pop("", None)
        if nameless is not None:  # some servers do not say which response their audio belongs to
            tally.audible += nameless.audible
            tally.texts |= nameless.texts
            tally.items |= nameless.items
            tally.sounding |= nameless.sounding
        if keep:
            self._tallies[response] = tally
        for item in output if isinstance(output, Sequence) and not isinstance(output, str) else ():
            if isinstance(item, Mapping):
                self._read(tally, item)
        remote: Literal["", "done", "runs"] = ""
        if tally.remote:
            remote = "done" if all(tally.remote.values()) else "runs"
        sounds = tally.audible >= _AUDIBLE_BYTES
        return ResponseEnding(status, code, sounds, tally.texts, calls, remote, tally.promises), tuple(tally.items)

    def forget(self, response: str) -> None:
        """Forget a response that is of no use any more."""
        self._tallies.pop(response, None)

    @staticmethod
    def _read(tally: _Tally, item: Mapping[str, Any]) -> None:
        kind, name = item.get("type"), item.get("id")
        name = name if isinstance(name, str) else ""
        tally.promises |= kind in _PROMISES
        if kind == "message":
            tally.promises &= name not in tally.sounding
            tally.texts |= _has_text(item.get("content"))
            if name:
                _note(tally.items, name)
        elif kind in _REMOTE and len(tally.remote) < _MOST_ITEMS:
            done = kind != "mcp_call" or item.get("output") is not None or item.get("error") is not None
            tally.remote[name] = done or tally.remote.get(name, False)


def approval_request(item: Any) -> ApprovalRequest | None:
    """Return the approval request of an item; None: the item has another type."""
    if not isinstance(item, Mapping) or item.get("type") != "mcp_approval_request":
        return None
    name = item.get("id")
    if not isinstance(name, str) or not name:
        return None
    return ApprovalRequest(name, str(item.get("server_label") or "")[:200], str(item.get("name") or "")[:200])


def approval_answer_id(request: str) -> str:
    """Return the id of our answer to an approval request: the server takes no answer without one, and none longer than
    32 characters. The same request always has the same, so that a second answer would be refused.

    Vendor: https://platform.openai.com/docs/api-reference/realtime-client-events/conversation/item/create
    """
    return f"leave_{hashlib.sha256(request.encode(errors='replace')).hexdigest()[:24]}"


def _note(items: dict[str, None], item: str) -> None:
    if len(items) < _MOST_ITEMS:
        items[item] = None


def _has_text(content: Any) -> bool:
    parts = content if isinstance(content, list) else []
    return any(isinstance(part, Mapping) and (part.get("text") or part.get("transcript")) for part in parts)
