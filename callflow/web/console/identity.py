"""Who asks: the operator whose token or login a request brings, for the time of that request.

A token may be bound to one business. Then only the routes of `business_scope.py` exist for it. What its role may do is
said in `roles.py`.
"""

from __future__ import annotations

import math
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Final

from callflow.config.validators import ROLES


NOTHING: Final = "There is nothing at this path; GET / shows what there is."
OPERATOR: Final = "operator"
"""How the holder of CONSOLE_TOKEN is called, and whoever asks where none is set."""
VIEW, OPERATE, CONFIGURE = ROLES
NOBODY: Final = ""
"""The role of a request that needs none."""


@dataclass(frozen=True, slots=True)
class Operator:
    """The holder of a token."""

    name: str = ""
    """Of the token; "": that of CONSOLE_TOKEN, or none is set."""
    business: str = ""
    """To which it is bound; "": to none, so that it may see everything."""
    role: str = CONFIGURE
    """One of ROLES; `NOBODY`: nobody has been asked for a token."""
    until: float = field(default=math.inf, compare=False)
    """When the login of a browser ends, in Unix seconds."""

    def may(self, role: str) -> bool:
        """Return whether it has this role, or one that includes it."""
        return role == NOBODY or (self.role in ROLES and ROLES.index(self.role) >= ROLES.index(role))

    @property
    def shown(self) -> str:
        """How the operator is called in answers."""
        return self.name or OPERATOR


ASKING: Final[ContextVar[Operator]] = ContextVar("operator")
"""Set for each request by `auth.py`. Without a default: what nobody has let in fails."""


def own_business() -> str:
    """Return the business to which whoever asks is bound; "": to none. Raises LookupError outside a request."""
    return ASKING.get().business


def named_tokens(entries: str) -> list[tuple[str, Operator]]:
    """Read the setting CONSOLE_TOKENS, which was checked: each token with its holder."""
    found = []
    for entry in filter(None, entries.split(",")):
        name, role, *business, token = entry.split(":")
        found.append((token, Operator(name, "".join(business), role)))
    return found
