"""What one response is requested for. Pure: see `response_queue.py`, which decides when it is requested.

Vendor: https://platform.openai.com/docs/api-reference/realtime-client-events/response/create
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class ResponseRequest:
    """The purpose of one requested response."""

    instructions: dict[str, bool] = field(default_factory=dict)
    """Instructions, each with whether it is still wanted after the caller has spoken."""
    plain: bool = False
    """An answer is wanted, without instructions."""
    after_tools: bool = False
    """Tools were answered. No longer needed once the server has begun a response that knows the results."""
    whole: bool = False
    """The response must be heard whole: if it breaks off, it is requested again from the beginning."""
    instead: bool = False
    """The server should have begun this answer by itself, and nothing else is wanted."""
    withdrawn: ResponseRequest | None = None
    """What was asked for with it, if that was withdrawn after it was sent: nothing of it is wanted any more."""

    def __bool__(self) -> bool:
        return bool(self.instructions) or self.plain or self.after_tools

    def add(self, other: ResponseRequest) -> None:
        """Add what the other one wants."""
        self.instead = other.instead and (self.instead or not self)
        self.instructions |= other.instructions
        self.plain |= other.plain
        self.after_tools |= other.after_tools
        self.whole |= other.whole

    def has(self, other: ResponseRequest) -> bool:
        """Return whether this has all that the other one wants."""
        answers = self.plain or self.after_tools or not other.plain
        return answers and other.instructions.keys() <= self.instructions.keys()

    def drop_outdated(self) -> None:
        """Keep only lasting instructions, because the caller has spoken."""
        self.instructions = {text: lasts for text, lasts in self.instructions.items() if lasts}
        self.plain = self.whole = False
