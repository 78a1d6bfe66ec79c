"""Who asks: the operator whose token a request brings, for the time of that request.

A token may be bound to one business. Then only the routes of `business_guard.py` exist for it.
"""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final


NOTHING: Final = "There is nothing at this path; GET / shows what there is."


@dataclass(frozen=True, slots=True)
class Operator:
    """The holder of a token."""

    name: str = ""
    """Of the token; "": that of CONSOLE_TOKEN, or none is set."""
    business: str = ""
    """To which it is bound; "": to none, so that it may see everything."""


ASKING: Final[ContextVar[Operator]] = ContextVar("operator")
"""Set for each request by `auth.py`. Without a default: what nobody has let in fails."""


def own_business() -> str:
    """Return the business to which whoever asks is bound; "": to none. Raises LookupError outside a request."""
    return ASKING.get().business


def named_tokens(entries: str) -> list[tuple[str, Operator]]:
    """Read the setting CONSOLE_TOKENS: each token with its holder."""
    found = []
    for entry in filter(None, entries.split(",")):
        name, _, rest = entry.partition(":")
        business, _, token = rest.partition(":")
        found.append((token, Operator(name, business)))
    return found
