"""The hook that says who calls, while it rings (CALLER_LOOKUP): its question, its answer, and what became of it. Pure.

The answer is an object `{variables?, profile?, refuse?}`: variables for instructions and greeting (see
`prompt_variables.py`), the name of another profile for this call, and whether the call is refused: true, or why.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol

import msgspec

from callflow.contracts import printable, prompt_variables
from callflow.contracts.errors import LookupFailed


MOST_BYTES: Final = 16 << 10
"""Of an answer."""
_MOST_WORDS: Final = 200
_MOST_NAME: Final = 100
_MOST_PROBLEMS: Final = 10
_NO_REASON: Final = "the caller lookup refuses this call"

Outcome = Literal["answered", "late", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Who calls whom. Numbers are as the carrier gives them, usually E.164; "": withheld."""

    call: str
    """Callflow's id of the call."""
    carrier: str
    from_number: str
    to_number: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LookedUp:
    """What became of a lookup. One that was late or has failed says nothing about the call."""

    outcome: Outcome
    ms: int = 0
    """How long it took."""
    why: str = ""
    """What went wrong; "": nothing."""
    variables: Mapping[str, str] = field(default_factory=dict)
    profile: str = ""
    """The name of another profile, which may not exist; "": that of the dialled number."""
    refuse: str = ""
    """Why the call is refused; "": it is not."""
    problems: tuple[str, ...] = ()
    """A line for each part of the answer that cannot be used."""


class CallerLookup(Protocol):
    """Asks the hook."""

    seconds: float
    """The longest time that `look_up` takes."""

    async def look_up(self, question: Question) -> LookedUp:
        """Ask, and return what came of it in time. Never raises but when it is cancelled."""


def read_answer(answer: str | bytes) -> LookedUp:
    """Read an answer (JSON). Parts that cannot be used are left out and listed. Raises LookupFailed."""
    if len(answer if isinstance(answer, bytes) else answer.encode("utf-8", "surrogatepass")) > MOST_BYTES:
        raise LookupFailed(f"its answer has more than {MOST_BYTES >> 10} kB")
    try:
        told = msgspec.json.decode(answer or b"null")
    except (msgspec.DecodeError, ValueError, RecursionError):
        raise LookupFailed("its answer is no JSON") from None
    if told is None:
        told = {}
    if not isinstance(told, dict):
        raise LookupFailed("its answer is no object")
    known = ("variables", "profile", "refuse")
    problems = [f"there is no {printable.line(name)[:64]} in an answer" for name in told if name not in known]
    variables = prompt_variables.Read({}, [])
    if told.get("variables") is not None:
        variables = prompt_variables.read(told["variables"])
        problems += variables.problems
    profile, refuse = told.get("profile") or "", told.get("refuse") or ""
    if not isinstance(profile, str):
        profile = ""
        problems.append("profile must be a text")
    if not isinstance(refuse, str | bool):
        refuse = ""
        problems.append("refuse must be true, false or a text")
    reason = printable.line(refuse).strip()[:_MOST_WORDS] if isinstance(refuse, str) else ""
    return LookedUp(
        outcome="answered", variables=variables.values, profile=printable.line(profile.strip())[:_MOST_NAME],
        refuse=reason or (_NO_REASON if refuse else ""), problems=tuple(problems[:_MOST_PROBLEMS]),
    )  # fmt: skip
