"""The conversation of one emulated session: its items in order, their audio, and what they cost in tokens."""

from __future__ import annotations

import copy
from base64 import b64encode
from dataclasses import dataclass, field
from typing import Any

from callflow.sandbox.openai_realtime.errors import Refusal


@dataclass(slots=True, eq=False)
class Item:
    """A conversation item. `data` is what clients see of it, `audio` its sound in the session's format."""

    data: dict[str, Any]
    audio: bytearray = field(default_factory=bytearray)
    audio_ms: float = 0.0
    """Length of the audio (all of it that was generated so far, or what is left after a truncation)."""
    bytes_per_ms: int = 8

    @property
    def id(self) -> str:
        """The item's id, unique in its session."""
        return str(self.data["id"])

    @property
    def spoken(self) -> bool:
        """Whether it is a message with the model's audio, the only kind that can be truncated."""
        content = self.data.get("content") or [{}]
        return self.data.get("role") == "assistant" and content[0].get("type") == "output_audio"

    def public(self) -> dict[str, Any]:
        """Return a copy of the item as clients see it."""
        return copy.deepcopy(self.data)

    def with_audio(self) -> dict[str, Any]:
        """Return the item with its audio, as `conversation.item.retrieved` shows it."""
        data = self.public()
        for part in data.get("content", ()):
            if part.get("type") in ("input_audio", "output_audio"):
                part["audio"] = b64encode(self.audio).decode("ascii")
        return data

    def truncate(self, audio_end_ms: int) -> None:
        """Drop the audio after `audio_end_ms` and the whole transcript: OpenAI keeps no partial one.

        Vendor: https://platform.openai.com/docs/api-reference/realtime-client-events/conversation/item/truncate
        """
        self.audio_ms = min(self.audio_ms, float(audio_end_ms))
        del self.audio[audio_end_ms * self.bytes_per_ms :]
        self.data["content"][0]["transcript"] = ""

    @property
    def tokens(self) -> Tokens:
        """An estimate: four characters of text are a token; a caller's audio has 10 tokens a second, the model's 20."""
        data = self.data
        text = "".join(str(part.get("text") or "") for part in data.get("content", ()))
        text += str(data.get("arguments") or "") + str(data.get("output") or "")
        if data.get("role") == "assistant":
            text += "".join(str(part.get("transcript") or "") for part in data.get("content", ()))
        per_token = 50 if data.get("role") == "assistant" else 100
        return Tokens(-(-len(text) // 4), -(-int(self.audio_ms) // per_token))


@dataclass(frozen=True, slots=True)
class Tokens:
    """A number of text and of audio tokens."""

    text: int = 0
    audio: int = 0

    def __add__(self, other: Tokens) -> Tokens:
        return Tokens(self.text + other.text, self.audio + other.audio)

    @property
    def total(self) -> int:
        """The sum of both."""
        return self.text + self.audio


class Conversation:
    """The items of a session, in order."""

    def __init__(self) -> None:
        self.items: list[Item] = []

    def find(self, item_id: str) -> Item | None:
        """Return the item of that id, or None."""
        return next((item for item in self.items if item.id == item_id), None)

    def get(self, item_id: str, act: str) -> Item:
        """Return the item of that id. Raises Refusal with the code for `act`: "truncate", "retrieve" or "delete"."""
        item = self.find(item_id)
        if item is None:
            raise Refusal(f"Item with item_id not found: {item_id}", f"item_{act}_invalid_item_id", "item_id")
        return item

    def append(self, item: Item) -> str | None:
        """Add an item at the end and return the id of the one before it."""
        return self.insert(item, None)

    def insert(self, item: Item, after: str | None) -> str | None:
        """Insert an item after the one with the id `after` (None: at the end, "root": at the start).

        Returns the id of the item before it, or None. Raises Refusal when there is no item `after`.
        """
        if after is None:
            place = len(self.items)
        elif after == "root":
            place = 0
        else:
            found = next((n for n, one in enumerate(self.items) if one.id == after), None)
            if found is None:
                raise Refusal(f"Previous item with item_id not found: {after}", "invalid_value", "previous_item_id")
            place = found + 1
        self.items.insert(place, item)
        return self.items[place - 1].id if place else None

    def previous(self, item: Item) -> str | None:
        """Return the id of the item before, or None."""
        if item not in self.items:
            return None
        place = self.items.index(item)
        return self.items[place - 1].id if place else None

    def knows_call(self, call_id: str) -> bool:
        """Return whether there is a function call of that id."""
        return any(item.data["type"] == "function_call" and item.data.get("call_id") == call_id for item in self.items)

    def awaits_leave(self, request_id: str) -> bool:
        """Return whether there is an approval request of that id that has no answer yet."""
        return any(
            item.id == request_id and item.data["type"] == "mcp_approval_request" for item in self.items
        ) and not any(item.data.get("approval_request_id") == request_id for item in self.items)

    def tokens(self) -> Tokens:
        """Count the tokens of all items."""
        return sum((item.tokens for item in self.items), Tokens())


def usage(taken: Tokens, cached: Tokens, given: Tokens) -> dict[str, Any]:
    """Return the `usage` object of a response that took and gave so many tokens; `cached` is a part of `taken`."""
    return {
        "total_tokens": taken.total + given.total,
        "input_tokens": taken.total,
        "output_tokens": given.total,
        "input_token_details": {
            "text_tokens": taken.text,
            "audio_tokens": taken.audio,
            "image_tokens": 0,
            "cached_tokens": cached.total,
            "cached_tokens_details": {
                "text_tokens": cached.text,
                "audio_tokens": cached.audio,
                "image_tokens": 0,
            },
        },
        "output_token_details": {"text_tokens": given.text, "audio_tokens": given.audio},
    }
