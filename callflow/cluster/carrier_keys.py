"""Which carriers the nodes have keys of, as far as they have told each other. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable


class CarrierKeys:
    """What one node knows. A call goes only to a node that can serve it: without the keys it would be lost."""

    def __init__(self, mine: Collection[str] | None = None) -> None:
        """`mine`: the names of those carriers that this node has the keys of; None: of all that there are."""
        self.mine = sorted(mine) if mine is not None else None
        self._theirs: dict[str, frozenset[str]] = {}

    def told(self, node: str, carriers: Iterable[str]) -> frozenset[str]:
        """Learn which keys another node has. Returns the carriers of which only one of the two has them."""
        self._theirs[node] = frozenset(carriers)
        return self._theirs[node] ^ set(self.mine or ())

    def has(self, carrier: str) -> bool:
        """Return whether this node has the keys of a carrier; "": of any."""
        return not carrier or self.mine is None or carrier in self.mine

    def serves(self, node: str, carrier: str) -> bool:
        """Return whether another node has the keys of a carrier; "": of any. One that has not told is taken to have
        all."""
        return not carrier or node not in self._theirs or carrier in self._theirs[node]

    def has_others(self, node: str) -> bool:
        """Return whether another node has keys that this one has not."""
        return bool(self._theirs.get(node, frozenset()) - set(self.mine or ()))
