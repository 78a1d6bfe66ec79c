"""The recordings in the history: those of carriers, which are rows of `recordings`, and our own files."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any, Final

from sqlalchemy import Connection, and_, bindparam, case, func, or_, select

from callflow.history.database import Database
from callflow.history.deleted_conversations import VISIBLE
from callflow.history.recording_store import RecordingStore, Stored
from callflow.history.tables import conversations, iso, recordings


_OWN: Final = re.compile(r"(.+)-([1-9][0-9]{0,3})")
"""Our id of a recording of our own: that of the call, and which part of it."""
_HEADER_BYTES, _BYTES_PER_SECOND = 44, 8000 * 4
_OF_CALL: Final = (
    conversations.c.call_id,
    conversations.c.carrier_call_id,
    conversations.c.carrier.label("of_carrier"),
)


def upsert(insert: Any) -> Any:
    """Return the statement that writes what is said of a carrier's recording. `insert`: that of the kind of database.

    Callbacks come in any order and more than once: what is ready stays ready, and what failed does not run again.
    """
    names = ("recording_id", "state", "channels", "seconds", "reason", "created_at")
    values = [bindparam(name, type_=recordings.c[name].type) for name in names]
    row = select(conversations.c.id, func.coalesce(conversations.c.carrier, ""), *values)
    row = row.where(conversations.c.call_id == bindparam("call"))
    statement = insert(recordings).from_select(["conversation_id", "carrier", *names], row)
    new, old = statement.excluded, recordings.c
    stays = (old.state == "ready") | (new.state == "running")
    return statement.on_conflict_do_update(
        index_elements=["conversation_id", "recording_id"],
        set_={
            "state": case((stays, old.state), else_=new.state),
            "channels": func.coalesce(new.channels, old.channels),
            "seconds": func.coalesce(new.seconds, old.seconds),
            "reason": case((stays, old.reason), else_=new.reason),
            "created_at": case((new.created_at < old.created_at, new.created_at), else_=old.created_at),
        },
    )


async def newest(
    database: Database, sounds: RecordingStore, most: int, call: str = "", business: str = ""
) -> list[dict[str, Any]]:
    """Return the newest recordings, newest first: those of the carriers and ours, in one shape.

    `sounds`: our own. `call`: our id of a call, or its carrier's; "": of all calls. `business`: of its calls
    only; "": of all.
    """
    table = conversations.c
    of_call = or_(table.call_id == call, table.carrier_call_id == call) if call else table.id.is_not(None)
    of_call = and_(of_call, table.business == business) if business else of_call
    of_call = and_(of_call, VISIBLE)
    theirs = select(recordings, *_OF_CALL).join(conversations).where(of_call)
    theirs = theirs.order_by(recordings.c.created_at.desc(), recordings.c.id.desc()).limit(most)
    ours = select(*_OF_CALL, table.recording, table.started_at, table.ended_at)
    ours = ours.where(of_call, table.recording.is_not(None), table.call_id.is_not(None))
    ours = ours.order_by(table.started_at.desc(), table.id.desc()).limit(most)

    def work(connection: Connection) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        found = [_carriers(dict(row)) for row in connection.execute(theirs).mappings()]
        return found, [dict(row) for row in connection.execute(ours).mappings()]

    found, rows = await database.read(work)
    known = await sounds.look([name for row in rows for name in row["recording"].split(",")])
    for row in rows:
        found += _own(row, known)
    return sorted(found, key=lambda each: str(each["dateCreated"]), reverse=True)[:most]


async def find(database: Database, name: str) -> dict[str, Any] | None:
    """Return the row of a carrier's recording, by the carrier's id of it."""
    wanted = select(recordings).join(conversations).where(recordings.c.recording_id == name, VISIBLE)
    wanted = wanted.order_by(recordings.c.id.desc()).limit(1)
    rows = await database.read(lambda connection: connection.execute(wanted).mappings().all())
    return dict(rows[0]) if rows else None


async def business_of(database: Database, name: str) -> str | None:
    """Return whose call a carrier's recording is of; "": nobody's in particular; None: there is no such recording."""
    wanted = select(func.coalesce(conversations.c.business, "")).join(recordings)
    wanted = wanted.where(recordings.c.recording_id == name).order_by(recordings.c.id.desc()).limit(1)
    return await database.read(lambda connection: connection.execute(wanted).scalar())


async def finished(database: Database, files: Collection[str]) -> set[str]:
    """Return those of these files of ours that grow no more: their call is over, or it was gone on with in another
    part. Those of no call in the history, and of calls that are about to be deleted, are left out."""
    wanted, calls = set(files), set()
    for file in files:
        call = file.removesuffix(".wav")
        calls |= {call, call.rpartition("-")[0]}
    columns = conversations.c.recording, conversations.c.ended_at
    of_them = select(*columns).where(
        conversations.c.call_id.in_(calls), conversations.c.recording.is_not(None), VISIBLE
    )

    def work(connection: Connection) -> set[str]:
        found: set[str] = set()
        for row in connection.execute(of_them):
            parts = row.recording.split(",")
            found.update(parts if row.ended_at is not None else parts[:-1])
        return found & wanted

    return await database.read(work)


def own_part(name: str) -> tuple[str, int] | None:
    """Return the call and the part that our id of a recording of our own names; None: it is no such id."""
    found = _OWN.fullmatch(name)
    return (found[1], int(found[2])) if found else None


def _carriers(row: Mapping[str, Any]) -> dict[str, Any]:
    name, is_ready = row["recording_id"], row["state"] == "ready"
    return {
        **_of_call(row),
        "sid": name,
        "source": "carrier",
        "dateCreated": row["created_at"],
        "duration": row["seconds"],
        "channels": row["channels"],
        "status": row["state"],
        "reason": row["reason"],
        "mediaUrl": f"/api/recordings/{name}/audio" if is_ready and name else None,
    }


def _own(row: Mapping[str, Any], known: Mapping[str, Stored | None]) -> list[dict[str, Any]]:
    """Return the parts of a recording of our own that are there, or may be."""
    found = []
    files = row["recording"].split(",")
    for part, file in enumerate(files, start=1):
        if file not in known:
            continue
        about, name = known[file], f"{row['call_id']}-{part}"
        seconds = round(max(about.size - _HEADER_BYTES, 0) / _BYTES_PER_SECOND, 2) if about is not None else None
        grows = row["ended_at"] is None and part == len(files)
        found.append(
            {
                **_of_call(row),
                "sid": name,
                "source": "callflow",
                "dateCreated": _began(row, part, about, seconds),
                "duration": None if grows else seconds,
                "channels": 2,
                "status": "running" if grows else "ready",
                "reason": None,
                "mediaUrl": None if grows else f"/api/recordings/{name}/audio",
            }
        )
    return found


def _began(row: Mapping[str, Any], part: int, about: Stored | None, seconds: float | None) -> str:
    if part == 1 or about is None or seconds is None:
        return str(row["started_at"])
    return iso(about.changed_at - seconds)


def _of_call(row: Mapping[str, Any]) -> dict[str, Any]:
    call = row["call_id"]
    return {"callSid": row["carrier_call_id"] or call, "call": call, "carrier": row["of_carrier"] or ""}
