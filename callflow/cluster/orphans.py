"""Which calls of dead nodes a node takes, and which must wait because nobody has the keys of their carrier. Pure.

What a draining node has alone the keys of, it takes all the same: nobody else could.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from callflow.cluster.carrier_keys import CarrierKeys
from callflow.cluster.nodes import View, allotment


@dataclass(frozen=True, slots=True)
class Allotment:
    """What one node takes now."""

    most: int = 0
    """Calls."""
    of: frozenset[str] = frozenset()
    """The carriers whose calls they may be."""


def allotment_of(view: View, me: str, keys: CarrierKeys, left: Mapping[str, int]) -> Allotment:
    """Return how many calls of dead nodes `me` takes now: its share among those that have the keys. `left`: how many
    are nobody's, by carrier; "": those that any node can serve."""
    most, of, whole = 0, set[str](), sum(left.values())
    together: dict[View, set[str]] = {}
    for carrier in filter(keys.has, left):
        able = [
            node for node in view.nodes if node.state == "dead" or node.name == me or keys.serves(node.name, carrier)
        ]
        together.setdefault(View(tuple(able), view.now), set()).add(carrier)
    for nodes, carriers in together.items():
        share = allotment(nodes, me, sum(left[carrier] for carrier in carriers), whole)
        if share:
            most += share
            of |= carriers
    return Allotment(most, frozenset(of))


def unserved(view: View, me: str, keys: CarrierKeys, left: Mapping[str, int]) -> dict[str, int]:
    """Return how many calls wait for a node with the keys of their carrier, by carrier; `left`: as above."""
    others = [node.name for node in view.alive() if node.name != me]
    return {
        carrier: count
        for carrier, count in sorted(left.items())
        if not keys.has(carrier) and not any(keys.serves(name, carrier) for name in others)
    }
