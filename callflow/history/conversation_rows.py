"""The statements that write a conversation and what belongs to it. `projection.py` says when; here is where."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import ColumnElement, Table, bindparam, case, literal, select, update

from callflow.history.tables import MESSAGES, conversations, items, streams


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
STATE: Final = update(conversations).where(CALL).values(state=bindparam("new_state"))
_BEGAN: Final[ColumnElement[str]] = conversations.c.started_at
_TOLD: Final[ColumnElement[str]] = bindparam("answered")
ANSWERED: Final = (
    update(conversations)
    .where(CALL, conversations.c.answered_at.is_(None))
    .values(answered_at=case((_BEGAN > _TOLD, _BEGAN), else_=_TOLD))  # as a carrier counts, it may have been before
)
CARRIER_COST: Final = update(conversations).where(CALL).values(carrier_usd=bindparam("cost"))
LED_COST: Final = (
    update(conversations)
    .where(conversations.c.started_at >= bindparam("since"), conversations.c.carrier_session_id.like(bindparam("leg")))
    .values(carrier_usd=bindparam("cost"))
)
"""Of a leg that was led to us by SIP: `leg` is a pattern for the `session` of the call that arrived."""
SOURCE: Final = update(conversations).where(CALL).values(hangup_source=bindparam("source"))
NUMBER_ID: Final = (
    update(conversations)
    .where(CALL, conversations.c.phone_number_sid.is_(None))
    .values(phone_number_sid=bindparam("number"))
)
IDS: Final = (
    update(conversations)
    .where(CALL)
    .values(
        carrier_call_id=bindparam("control"),
        carrier_leg_id=bindparam("leg"),
        carrier_session_id=bindparam("session"),
    )
)
NAME: Final = (
    update(conversations)
    .where(CALL, conversations.c.stream_sid == bindparam("call"))
    .where(~select(literal(1)).where(conversations.alias("other").c.stream_sid == bindparam("name")).exists())
    .values(stream_sid=bindparam("name"))
)
STOP_STREAM: Final = (
    update(streams)
    .where(streams.c.conversation_id == OURS, streams.c.ended_at.is_(None))
    .values(ended_at=bindparam("ended"), reason=bindparam("why"))
)
END: Final = (
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
STOP_ITEMS: Final = (
    update(items)
    .where(items.c.conversation_id == OURS, items.c.status.in_(("in_progress", "running")))
    .values(status=STOPPED)
)
FIRST_WORD: Final = (
    update(conversations)
    .where(CALL, conversations.c.first_word_ms.is_(None))
    .values(first_word_ms=bindparam("first_word"))
)
INTERRUPTED: Final = update(conversations).where(CALL).values(interruptions=conversations.c.interruptions + 1)
HEARD: Final = update(items).where(ITEM).values(heard_ms=bindparam("heard"), of_ms=bindparam("of"))
CUT: Final = (
    update(items).where(ITEM).values(heard_ms=bindparam("heard"), of_ms=bindparam("of"), heard_text=bindparam("words"))
)
LATENCY: Final = update(items).where(ITEM).values(latency=bindparam("parts"))
USAGE: Final = update(conversations).where(CALL).values(usage=bindparam("used"), cost_usd=bindparam("cost"))
RECORDING: Final = update(conversations).where(CALL).values(recording=bindparam("file"))
COUNT: Final = update(conversations).where(CALL).values(message_count=MESSAGES)
