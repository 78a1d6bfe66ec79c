"""What a live session decides beside the conversation: questions about it, answered by a model that has no opinion."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from callflow.sandbox.openai_realtime.live.validation import Refused


_NOTHING: Final = {
    "input_tokens": 0, "input_tokens_details": {"cache_write_tokens": 0, "cached_tokens": 0}, "output_tokens": 0,
    "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 0,
}  # fmt: skip


class Decisions:
    """The items that decisions are made about, and the decisions of one session."""

    def __init__(self, emit: Callable[..., None], delegation: Callable[[], dict[str, Any]]) -> None:
        """`emit`: sends an event. `delegation`: returns that of the session."""
        self._emit, self._delegation = emit, delegation
        self._items: set[str] = set()
        self._count = 0

    def handle(self, event: dict[str, Any]) -> None:
        """Handle a client event `decision.…`. Raises Refused."""
        delegation, about = self._delegation(), event.get("event_id")
        if delegation.get("type") != "decisions":
            raise Refused("invalid_event", "The delegation of this session makes no decisions.", "type")
        match event["type"]:
            case "decision.item.create":
                self._count += 1
                item = {"id": f"item_{self._count}", **event["item"]}
                self._items.add(item["id"])
                self._emit("decision.item.created", item=item, client_event_id=about)
            case "decision.item.delete":
                if event["item_id"] not in self._items:
                    raise Refused("item_not_found", f"There is no item '{event['item_id']}'.", "item_id")
                self._items.discard(event["item_id"])
                self._emit("decision.item.deleted", item_id=event["item_id"], client_event_id=about)
            case _:
                asked = delegation["decisions"]
                made = {
                    "answers": [_answer(question) for question in asked["questions"]],
                    "model": asked["model"],
                    "usage": _NOTHING,
                }
                self._emit(
                    "decision.event",
                    event={"type": "decision.completed", "decision": made},
                    source_event_id=about,
                )


def _answer(question: dict[str, Any]) -> dict[str, Any]:
    """Answer with the first choice or level, or evenly."""
    kind, name = question["type"], question.get("name")
    if kind == "predicate":
        return {"type": kind, "name": name, "probability": 0.5}
    if kind == "choice":
        first = question["choices"][0]["value"]
        chances = [{"value": each["value"], "probability": float(n == 0)} for n, each in enumerate(question["choices"])]
        return {"type": kind, "name": name, "choice": first, "confidence": 1.0, "probabilities": chances}
    chances = [
        {"label": each["label"], "value": n, "probability": float(n == 0)} for n, each in enumerate(question["levels"])
    ]
    return {"type": kind, "name": name, "score": 0.0, "confidence": 1.0, "probabilities": chances}
