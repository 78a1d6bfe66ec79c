"""The statements that write a conversation and what belongs to it. `projection.py` says when; here is where."""

from __future__ import annotations

import functools
import importlib
from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, Table, bindparam, case, literal, select, update

from callflow.history import recording_rows
from callflow.history.prepared import Prepared
from callflow.history.tables import MESSAGES, conversations, find_words, items, streams, transitions


CALL: Final = conversations.c.call_id == bindparam("call")
OURS: Final = select(conversations.c.id).where(CALL).scalar_subquery()
STOPPED: Final = "incomplete"
"""The status of an item that was cut off: the model's own word."""


def insert_of(insert: Any, table: Table, *names: str) -> Any:
    """Make the INSERT … SELECT of the conversation's id and these parameters: nothing where there is no such
    conversation."""
    row: list[ColumnElement[Any]] = [conversations.c.id, *(bindparam(name, type_=table.c[name].type) for name in names)]
    return insert(table).from_select(["conversation_id", *names], select(*row).where(CALL))


ITEM: Final = (items.c.conversation_id == OURS) & (items.c.item_id == bindparam("item"))
TIMES: Final = Prepared(select(conversations.c.started_at, conversations.c.answered_at).where(CALL))
ARGUMENTS: Final = Prepared(select(items.c.function_params).where(ITEM))
STATE: Final = Prepared(update(conversations).where(CALL).values(state=bindparam("new_state")))
_BEGAN: Final[ColumnElement[str]] = conversations.c.started_at
_TOLD: Final[ColumnElement[str]] = bindparam("answered")
ANSWERED: Final = Prepared(
    update(conversations)
    .where(CALL, conversations.c.answered_at.is_(None))
    .values(answered_at=case((_BEGAN > _TOLD, _BEGAN), else_=_TOLD))  # as a carrier counts, it may have been before
)
NOT_ANSWERED: Final = Prepared(update(conversations).where(CALL).values(answered_at=None, answered_seconds=None))
CARRIER_COST: Final = Prepared(update(conversations).where(CALL).values(carrier_usd=bindparam("cost")))
LED_COST: Final = Prepared(
    update(conversations)
    .where(conversations.c.started_at >= bindparam("since"), conversations.c.carrier_session_id.like(bindparam("leg")))
    .values(carrier_usd=bindparam("cost"))
)
"""Of a leg that was led to us by SIP: `leg` is a pattern for the `session` of the call that arrived."""
SOURCE: Final = Prepared(update(conversations).where(CALL).values(hangup_source=bindparam("source")))
NUMBER_ID: Final = Prepared(
    update(conversations)
    .where(CALL, conversations.c.phone_number_sid.is_(None))
    .values(phone_number_sid=bindparam("number"))
)
IDS: Final = Prepared(
    update(conversations)
    .where(CALL)
    .values(
        carrier_call_id=bindparam("control"),
        carrier_leg_id=bindparam("leg"),
        carrier_session_id=bindparam("session"),
    )
)
NAME: Final = Prepared(
    update(conversations)
    .where(CALL, conversations.c.stream_sid == bindparam("call"))
    .where(~select(literal(1)).where(conversations.alias("other").c.stream_sid == bindparam("name")).exists())
    .values(stream_sid=bindparam("name"))
)
STOP_STREAM: Final = Prepared(
    update(streams)
    .where(streams.c.conversation_id == OURS, streams.c.ended_at.is_(None))
    .values(ended_at=bindparam("ended"), reason=bindparam("why"))
)
END: Final = Prepared(
    update(conversations)
    .where(CALL, conversations.c.ended_at.is_(None))
    .values(
        ended_at=bindparam("ended"),
        duration_seconds=bindparam("seconds"),
        answered_seconds=bindparam("answered_seconds"),
        hangup_cause=bindparam("cause"),
        state="hangup",
    )
)
STOP_ITEMS: Final = Prepared(
    update(items)
    .where(items.c.conversation_id == OURS, (items.c.status == "in_progress") | (items.c.status == "running"))
    .values(status=STOPPED)
)
FIRST_WORD: Final = Prepared(
    update(conversations)
    .where(CALL, conversations.c.first_word_ms.is_(None))
    .values(first_word_ms=bindparam("first_word"))
)
INTERRUPTED: Final = Prepared(update(conversations).where(CALL).values(interruptions=conversations.c.interruptions + 1))
HEARD: Final = Prepared(update(items).where(ITEM).values(heard_ms=bindparam("heard"), of_ms=bindparam("of")))
CUT: Final = Prepared(
    update(items).where(ITEM).values(heard_ms=bindparam("heard"), of_ms=bindparam("of"), heard_text=bindparam("words"))
)
LATENCY: Final = Prepared(update(items).where(ITEM).values(latency=bindparam("parts")))
USAGE: Final = Prepared(update(conversations).where(CALL).values(usage=bindparam("used"), cost_usd=bindparam("cost")))
RECORDING: Final = Prepared(update(conversations).where(CALL).values(recording=bindparam("file")))
COUNT: Final = Prepared(update(conversations).where(CALL).values(message_count=MESSAGES))

_BEGIN: Final = (
    "stream_sid", "call_id", "phone_number", "phone_number_sid", "caller_number", "started_at", "created_at",
    "message_count", "carrier", "carrier_call_id", "carrier_leg_id", "carrier_session_id", "direction", "profile",
    "business", "state", "interruptions",
)  # fmt: skip
_OF_TOOL: Final = ("role", "content", "call_id", "function_name", "function_params", "function_output")


class Statements(NamedTuple):
    """Those for which each kind of database has words of its own."""

    begin: Prepared
    message: Prepared
    tool: Prepared
    stream: Prepared
    transition: Prepared
    recording: Prepared
    find_words: tuple[Prepared, ...]


@functools.cache
def statements(dialect: str) -> Statements:
    """Make the statements for `sqlite` or `postgresql`."""
    insert: Any = importlib.import_module(f"sqlalchemy.dialects.{dialect}").insert
    return Statements(
        begin=Prepared(insert(conversations).on_conflict_do_nothing(), *_BEGIN),
        message=_upsert(insert, "role", "content", "text", keep_stopped=True),
        tool=_upsert(insert, *_OF_TOOL, keep_stopped=False),
        stream=Prepared(insert_of(insert, streams, "stream_sid", "started_at")),
        transition=Prepared(insert_of(insert, transitions, "at", "event", "before", "after")),
        recording=Prepared(recording_rows.upsert(insert)),
        find_words=tuple(map(Prepared, find_words(dialect == "sqlite", "call_id = :call"))),
    )


def _upsert(insert: Any, *fields: str, keep_stopped: bool) -> Prepared:
    names = ("item_id", "item_type", "status", "timestamp", "created_at", *fields)
    statement = insert_of(insert, items, *names)
    status: Any = statement.excluded.status
    if keep_stopped:
        status = case((items.c.status == STOPPED, items.c.status), else_=status)
    return Prepared(
        statement.on_conflict_do_update(
            index_elements=["conversation_id", "item_id"],
            set_={"status": status, **{name: getattr(statement.excluded, name) for name in fields}},
        )
    )
