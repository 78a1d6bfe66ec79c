"""Nodes and claims in the database. Functions of a connection, each for one short transaction.

A node is declared dead (fenced) in a transaction that locks its row, and the journal's transactions of that node hold
the same row: so what a node wrote before is read by whoever takes its calls over, and after it nothing comes. SQLite
lets one writer in at a time, with the same effect.
"""

from __future__ import annotations

import functools
import importlib
import time
from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    bindparam,
    case,
    delete,
    func,
    insert,
    literal_column,
    select,
    text,
    true,
    tuple_,
    update,
)

from callflow.cluster.nodes import LEASE_SECONDS, Node, View, next_epoch, share
from callflow.contracts.carrier import PHONE
from callflow.contracts.errors import Overloaded
from callflow.contracts.event import PART_OF
from callflow.history.node_tables import claims, nodes
from callflow.history.prepared import Prepared, run_on_file
from callflow.history.tables import conversations, steps


_node, _claim = nodes.c, claims.c
_JOIN_LOCK: Final = 0x63616C6E6F6465
_MANY: Final = 500
_NO_EPOCH: Final = 0
"""No node has it."""
_SERVED_ALONE: Final = "(alone)"
"""In place of the name of a node, which never has brackets: of a process that was none."""
_DRAINED: Final = 0
"""The capacity of a dead node that had been told to drain: it still drains if it turns out to live."""
# What a node asks several times a second, or for each call, is written once: see `Prepared`.
_CLOCK: Final = text("SELECT extract(epoch FROM clock_timestamp())")
_this_node: Final = and_(_node.name == bindparam("of"), _node.epoch == bindparam("since"), _node.state != "dead")
_IS_ALIVE: Final = Prepared(select(_node.state).where(_this_node).with_for_update(read=True, key_share=True))
_RENEW: Final = Prepared(
    update(nodes)
    .where(_this_node)
    .values(
        lease_until=bindparam("until"), calls=bindparam("has"), lag_ms=bindparam("late"), capacity=bindparam("room")
    )
)
_WHOSE: Final = Prepared(select(_claim.node, _claim.epoch).where(_claim.call == bindparam("call")))
_RELEASE: Final = Prepared(
    delete(claims).where(
        _claim.call == bindparam("call"), _claim.node == bindparam("of"), _claim.epoch == bindparam("since")
    )
)
_VIEW: Final = Prepared(select(nodes).order_by(_node.name))
_COLUMNS: Final = nodes.c.keys()
_living: Final = (
    select(_node.name)
    .where(_node.name == _claim.node, _node.epoch == _claim.epoch, _node.state != "dead")
    .correlate(claims)
    .exists()
)
_OWNER: Final = Prepared(select(_claim.node, _living).where(_claim.call == bindparam("call")))
_OWN: Final = Prepared(select(_claim.call).where(_claim.node == bindparam("of"), _claim.epoch == bindparam("since")))
_ORPHANS: Final = Prepared(select(func.count()).select_from(claims).where(~_living))


def begin(connection: Connection) -> None:
    """Begin a transaction that will write, unless it has begun. SQLite: other writers wait from now on, so that what is
    read holds."""
    driver: Any = connection.connection.dbapi_connection
    if connection.dialect.name == "sqlite" and not driver.in_transaction:
        run_on_file(connection, "BEGIN IMMEDIATE")


def clock(connection: Connection) -> float:
    """Return Unix time by the database's clock. SQLite: that of this machine."""
    if connection.dialect.name == "sqlite":
        return time.time()
    return float(connection.execute(_CLOCK).scalar_one())


def join(connection: Connection, node: Node) -> int:
    """Add a node, or let one begin again under its name. Returns its epoch. `node.epoch`: what it had, if it was a
    member before: then it still drains if it was told to.

    Claims of its earlier epochs are nobody's from then on. A process that still lives under this name is fenced by
    that: it finds out with its next renewal or entry. On one machine `NodeLock` keeps a second one from coming so far,
    and `Heartbeat` one of another machine.
    """
    begin(connection)
    if connection.dialect.name != "sqlite":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _JOIN_LOCK})
    now = clock(connection)
    rows = connection.execute(select(_node.name, _node.epoch, _node.state, _node.capacity)).all()
    before = [row for row in rows if (row.name, row.epoch) == (node.name, node.epoch)]
    drains = "draining" in (node.state, *(_order(row.state, row.capacity) for row in before))
    highest = connection.execute(select(func.coalesce(func.max(_claim.epoch), 0))).scalar_one()
    living = [int(row.epoch) for row in rows if row.state != "dead"]
    epoch = next_epoch(max([int(highest), *(int(row.epoch) for row in rows)]), living)
    values = {
        "name": node.name, "epoch": epoch, "address": node.address, "capacity": node.capacity, "calls": node.calls,
        "lag_ms": node.lag_ms, "state": "draining" if drains else "up", "lease_until": now + LEASE_SECONDS,
        "started_at": now,
    }  # fmt: skip
    connection.execute(delete(nodes).where(_node.name == node.name))
    connection.execute(insert(nodes), values)
    return epoch


def _order(state: str, capacity: int) -> str:
    """Return what a node had been told to be, perhaps before it was declared dead."""
    return "draining" if state == "dead" and capacity == _DRAINED else state


def renew(connection: Connection, node: Node) -> bool:
    """Renew the lease of a node, and say how it is. Returns False if it was declared dead."""
    begin(connection)
    said = {
        "of": node.name, "since": node.epoch, "until": clock(connection) + LEASE_SECONDS,
        "has": node.calls, "late": node.lag_ms, "room": node.capacity,
    }  # fmt: skip
    return _RENEW.run(connection, said) > 0


def view(connection: Connection) -> View:
    """Read all nodes."""
    rows = _VIEW.all(connection, {})
    return View(tuple(Node(**dict(zip(_COLUMNS, row, strict=True))) for row in rows), clock(connection))


def fence(connection: Connection, victims: Iterable[Node], *, expired: bool) -> list[Node]:
    """Declare nodes dead: nothing that they still write counts. Returns those that this transaction declared.

    `expired`: only those whose lease was not renewed since.
    """
    begin(connection)
    done = []
    for victim in victims:
        which: list[ColumnElement[bool]] = [
            _node.name == victim.name, _node.epoch == victim.epoch, _node.state != "dead",
        ]  # fmt: skip
        if expired:
            which.append(_node.lease_until == victim.lease_until)  # nothing has renewed it since it was looked at
        # The lock waits for a transaction of that node's journal which is under way.
        if connection.execute(select(_node.name).where(*which).with_for_update()).first() is None:
            continue
        room = case((_node.state == "draining", _DRAINED), else_=_node.capacity)
        connection.execute(update(nodes).where(*which).values(state="dead", capacity=room))
        done.append(victim)
    return done


def forget(connection: Connection, dead: Iterable[Node]) -> None:
    """Remove dead nodes of whose calls none is left to be taken over."""
    begin(connection)
    claimed: Select[Any] = (
        select(literal_column("1")).where(_claim.node == _node.name, _claim.epoch == _node.epoch).correlate(nodes)
    )
    for node in dead:
        gone = (_node.name == node.name, _node.epoch == node.epoch, _node.state == "dead", ~claimed.exists())
        connection.execute(delete(nodes).where(*gone))


def set_state(connection: Connection, name: str, state: str, epoch: int | None = None) -> bool:
    """Let a living node drain (`draining`), or take calls again (`up`). Returns whether there is such a node. `epoch`:
    only the one that joined under it; None: whichever has this name."""
    begin(connection)
    which = [_node.name == name, _node.state != "dead", *([_node.epoch == epoch] if epoch is not None else [])]
    return connection.execute(update(nodes).where(*which).values(state=state)).rowcount > 0


def leave(connection: Connection, node: Node) -> None:
    """Remove a node that ends. Calls that it still has are nobody's from now on."""
    begin(connection)
    connection.execute(delete(nodes).where(_node.name == node.name, _node.epoch == node.epoch))


def is_alive(connection: Connection, key: tuple[str, int]) -> bool:
    """Return whether a node has not been declared dead; it cannot be while this transaction lasts.

    KEY SHARE lets the renewal of the lease pass, and keeps out what declares a node dead, which asks FOR UPDATE.
    """
    return _IS_ALIVE.first(connection, {"of": key[0], "since": key[1]}) is not None


def claim(connection: Connection, calls: Sequence[str], key: tuple[str, int]) -> dict[str, tuple[str, int]]:
    """Claim calls for a node unless somebody has them. Returns who has each of them now."""
    _claim_new(connection.dialect.name).run(
        connection, *({"call": call, "node": key[0], "epoch": key[1]} for call in calls)
    )
    found = {call: _WHOSE.first(connection, {"call": call}) for call in calls}
    return {call: (row[0], int(row[1])) for call, row in found.items() if row is not None}


@functools.cache
def _claim_new(dialect: str) -> Prepared:
    insert_new: Any = importlib.import_module(f"sqlalchemy.dialects.{dialect}").insert
    return Prepared(insert_new(claims).on_conflict_do_nothing(), "call", "node", "epoch")


def on_record(connection: Connection, calls: Collection[str]) -> set[str]:
    """Return those of the calls of which something is in the journal."""
    return set(connection.execute(select(steps.c.call).where(steps.c.call.in_(calls)).distinct()).scalars())


def release(connection: Connection, calls: Collection[str], key: tuple[str, int]) -> None:
    """Give up the claims of a node on calls."""
    for call in calls:
        _RELEASE.run(connection, {"call": call, "of": key[0], "since": key[1]})


def hand_over(
    connection: Connection, call: str, key: tuple[str, int], to: tuple[str, int], states: Sequence[str]
) -> bool:
    """Give a node's claim on a call to another node. Returns False if it has none. Raises Overloaded if the other node
    is in none of these `states`: what was known of it half a second ago is no reason to leave a call to it. It is not
    declared dead, and does not leave, while this transaction lasts: see `is_alive`."""
    begin(connection)
    target = select(_node.state).where(_node.name == to[0], _node.epoch == to[1])
    state = connection.execute(target.with_for_update(read=True, key_share=True)).scalar()
    if state not in states:
        raise Overloaded(f"node {to[0]} takes no calls: it is {state or 'gone'}")
    given = update(claims).where(_claim.call == call, _claim.node == key[0], _claim.epoch == key[1])
    return connection.execute(given.values(node=to[0], epoch=to[1])).rowcount > 0


def disown(connection: Connection, calls: Collection[str], key: tuple[str, int]) -> None:
    """Make calls of a node that lives nobody's, so that others take them over."""
    begin(connection)
    kept = update(claims).where(_claim.call.in_(calls), _claim.node == key[0], _claim.epoch == key[1])
    connection.execute(kept.values(epoch=_NO_EPOCH))


def claimed_by(connection: Connection, key: tuple[str, int]) -> list[str]:
    """Return the calls that a node has."""
    return [call for (call,) in _OWN.all(connection, {"of": key[0], "since": key[1]})]


def claimed(connection: Connection, calls: Collection[str]) -> set[str]:
    """Return those of the calls that some node has."""
    return set(connection.execute(select(_claim.call).where(_claim.call.in_(calls))).scalars())


def owner(connection: Connection, call: str) -> tuple[str, bool]:
    """Return the name of the node that has a call, and whether it lives; ("", False): nobody has it."""
    node, lives = _OWNER.first(connection, {"call": call}) or ("", False)
    return str(node), bool(lives)


def _served(call: ColumnElement[str], carriers: Collection[str] | None) -> ColumnElement[bool]:
    """Return whether a call is one of these carriers'. The telephone of the operators' page is nobody's."""
    if carriers is None:
        return true()
    others = conversations.alias("others")
    foreign = select(others.c.call_id).where(others.c.call_id == call, others.c.carrier.not_in([*carriers, PHONE]))
    return ~foreign.exists()


def orphans(connection: Connection) -> dict[str, int]:
    """Count the calls whose node is dead, by carrier; "": those that any node can serve."""
    ((count,),) = _ORPHANS.all(connection, {})
    if not count:
        return {}
    carrier = func.coalesce(func.nullif(conversations.c.carrier, PHONE), "")
    called = claims.outerjoin(conversations, conversations.c.call_id == _claim.call)
    dead = select(carrier.label("carrier"), func.count().label("calls")).select_from(called).where(~_living)
    return {row.carrier: int(row.calls) for row in connection.execute(dead.group_by(text("1")))}


def take_orphans(
    connection: Connection,
    key: tuple[str, int],
    survivors: int,
    most: int = _MANY,
    of: Collection[str] | None = None,
) -> list[str]:
    """Claim a share of the calls whose node is dead, at most so many, each with its other side. `of`: only these
    carriers'; None: all. Returns their ids; none: there are no more.

    PostgreSQL passes over the claims that another survivor is taking at this moment.
    """
    begin(connection)
    # Which nodes are dead is asked first: of a row that another survivor has just taken, PostgreSQL looks again at the
    # row's own columns, and not at a subquery.
    dead = connection.execute(
        select(_claim.node, _claim.epoch, func.count().label("calls"))
        .where(~_living)
        .group_by(_claim.node, _claim.epoch)
    ).all()
    if not dead or not is_alive(connection, key):
        return []
    most = min(most, share(sum(row.calls for row in dead), survivors))
    keys = [(row.node, row.epoch) for row in dead]
    of_the_dead = and_(tuple_(_claim.node, _claim.epoch).in_(keys), _served(_claim.call, of))
    sides = _sides(connection, keys)
    orphaned = select(_claim.call).where(of_the_dead).order_by(_claim.call).with_for_update(skip_locked=True)
    found = list(connection.execute(orphaned.where(_claim.call.not_in(sides)).limit(most)).scalars())
    if beside := [side for side, call in sides.items() if call in found]:
        found += connection.execute(orphaned.where(_claim.call.in_(beside))).scalars()
    if found:
        mine = {"node": key[0], "epoch": key[1]}
        connection.execute(update(claims).where(_claim.call.in_(found)).values(**mine))
    return found


def _sides(connection: Connection, keys: Sequence[tuple[str, int]]) -> dict[str, str]:
    """Return the calls of these nodes that are the other side of one which is theirs, too, each with that one. Nobody
    takes such a call by itself: what one side knows of the conversation, the other decides by."""
    session, whole = conversations.c.carrier_session_id, claims.alias("whole")
    theirs = [tuple_(of.node, of.epoch).in_(keys) for of in (_claim, whole.c)]
    beside = (
        select(_claim.call, whole.c.call.label("whole"))
        .join(conversations, conversations.c.call_id == _claim.call)
        .join(whole, whole.c.call == func.substr(session, len(PART_OF) + 1))
        .where(*theirs, session.startswith(PART_OF))
    )
    return {row.call: row.whole for row in connection.execute(beside)}


def disown_unclaimed(connection: Connection) -> int:
    """Make the unfinished calls that no node ever claimed nobody's, so that all nodes take shares of them like those of
    a dead node: they are those of a process that served alone. Forget claims on calls that are over. Returns how many
    there were, at most 500, the oldest first."""
    begin(connection)
    over = select(conversations.c.call_id).where(
        conversations.c.call_id == _claim.call, conversations.c.ended_at.is_not(None)
    )
    connection.execute(delete(claims).where(over.exists(), ~_living))
    claimed = select(literal_column("1")).where(_claim.call == conversations.c.call_id).exists()
    wanted = select(conversations.c.call_id).where(
        conversations.c.ended_at.is_(None), conversations.c.call_id.is_not(None), ~claimed
    )
    found = [row.call_id for row in connection.execute(wanted.order_by(conversations.c.id).limit(_MANY))]
    if found:
        claim(connection, found, (_SERVED_ALONE, _NO_EPOCH))
    return len(found)
