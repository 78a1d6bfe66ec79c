"""Where a webhook goes, as one node of a cluster decides: the only place for that. Pure.

The node asks `destination` with what it knows by itself, and again with each answer that is still missing: who has the
call, and who takes a new one. The first line that fits holds:

1. Its call is live here: here.
2. A carrier has sent it, and its address names another living node: there.
3. Another node has sent it, and this one has its call, or had it to the end: here.
4. Another node has sent it, and it begins a call: here, because that node has chosen this one. Not where its address
   names this node, which may have had the call before it began again.

Neither asks anybody; from here on it is asked who has the call.

5. This node has it: here. If this node does not know that yet, it was just given the call, and the webhook waits.
6. Another one has it, and a carrier has sent the webhook: there.
7. Another one has it, and a node has sent the webhook: 421, and that node looks up who. Nobody passes on what was
   forwarded.
8. Nobody has it, as far as is known, and a carrier has sent what may open a call: to the node with the most room.
9. It is not known who has it, and this node has let go of it: 503, so that it is sent again. Somebody may serve the
   caller, and this node may be the one that is cut off.
10. Nobody has it, as far as is known: here, where it opens its call, or is written down.

What was known before a wait is no answer after it: the node then decides anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final


MISLED: Final = 421
"""The status with which a node answers another one that a third one has the call of a webhook: HTTP's "misdirected
request". No carrier gets it."""
AGAIN: Final = 503
"""The status upon which a carrier sends a webhook again."""


class Missing(Enum):
    """What has to be asked before it is known where a webhook goes."""

    OWNER = "who has the call"
    PLACE = "who takes a new call"


@dataclass(frozen=True, slots=True)
class Owner:
    """Who has the call of a webhook, as far as the database and the nodes say."""

    node: str | None
    """Its name; "": nobody has it; None: they do not say."""
    call: str = ""
    """The call that it has: that of the webhook, or the one whose other side the webhook begins."""
    was_claimed: bool = False
    """The node that asked had the claim on that call when it asked."""


@dataclass(frozen=True, slots=True)
class Here:
    """It is for this node."""

    owner: str | None = None
    """Who has the call: this node; "": nobody. None: it is not known, or was not asked."""
    coming: str = ""
    """The call that was given to this node, and is not here yet; "": none."""


@dataclass(frozen=True, slots=True)
class To:
    """It is for another node."""

    node: str


@dataclass(frozen=True, slots=True)
class Refused:
    """It is for another node, and nobody takes it from here."""

    status: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What a node knows of a webhook by itself."""

    me: str
    is_live: bool = False
    """Its call is live here, and was not found to be another's."""
    is_ours: bool = False
    """This node has the claim on its call, as far as it knows."""
    has_ended: bool = False
    """Its leg was here, and is over."""
    was_let_go: bool = False
    """This node had its call, lately, and another one has it now; or the call whose other side it begins."""
    is_forwarded: bool = False
    """Another node has sent it."""
    named: str = ""
    """The living node that its address names, maybe this one; "": none."""
    begins: bool = False
    """It says that a call rings, and not another leg of a call that there is."""
    opens: bool = False
    """It opens a call where nobody has it."""
    may_place: bool = True
    """Another node may get the call that it opens."""


def destination(webhook: Known, owner: Owner | None = None, place: str = "") -> Here | To | Refused | Missing:
    """Return where a webhook goes, or what has to be asked for that: see the module. `place`: the node that takes a new
    call. None and "": not asked yet."""
    me = webhook.me
    if webhook.is_live:
        return Here(me)
    if not webhook.is_forwarded and webhook.named not in ("", me):
        return To(webhook.named)
    if webhook.is_forwarded and not webhook.was_let_go:
        is_chosen = webhook.begins and webhook.named != me
        if webhook.is_ours or webhook.has_ended or is_chosen:
            return Here()
    if owner is None:
        return Missing.OWNER
    if owner.node == me:
        return Here(me, coming="" if owner.was_claimed else owner.call)
    if owner.node:
        return Refused(MISLED) if webhook.is_forwarded else To(owner.node)
    if webhook.opens and webhook.may_place and not webhook.is_forwarded:
        if not place:
            return Missing.PLACE
        if place != me:
            return To(place)
    return Refused(AGAIN) if owner.node is None and webhook.was_let_go else Here(owner.node)
