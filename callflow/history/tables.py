"""The tables of the history. `steps` is the journal; the others are what people read, written in the same transaction.

`conversations` and `conversation_items` are those of an earlier system, column for column, with more beside them: a
database of that system is opened and goes on. Times in them are ISO 8601 in UTC, `2026-01-31T12:00:00.000Z`, as text of
one width, so that they sort and compare in every database alike.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TextClause,
    UniqueConstraint,
    func,
    select,
    text,
)

from callflow.contracts.event import PART_OF


metadata: Final = MetaData()
_NOW: Final = text("CURRENT_TIMESTAMP")

steps: Final = Table(
    "steps",
    metadata,
    # Microseconds of Unix time × 1000, plus what keeps apart what happened in the same one: order of happening.
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    Column("call", String(36), nullable=False),
    Column("step", Integer, nullable=False),
    Column("at", Double, nullable=False),
    Column("event", Text, nullable=False),
    Column("before", String(20), nullable=False),
    Column("after", String(20), nullable=False),
    Column("taken", Boolean, nullable=False),
    Column("commands", Text, nullable=False),
    Index("idx_steps_call", "call", "id"),
)
"""Every step and note of every call, append-only: see `callflow.journal.journal`."""

conversations: Final = Table(
    "conversations",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("stream_sid", Text, nullable=False, unique=True),
    Column("phone_number", Text, nullable=False),
    Column("phone_number_sid", Text),
    Column("caller_number", Text),
    Column("started_at", Text, nullable=False),
    Column("ended_at", Text),
    Column("duration_seconds", Integer),
    Column("message_count", Integer, server_default=text("0")),
    Column("created_at", Text, server_default=_NOW),
    # Ours
    Column("call_id", String(36), unique=True),
    Column("carrier", Text),
    Column("carrier_call_id", Text),
    Column("carrier_leg_id", Text),
    Column("carrier_session_id", Text),
    Column("direction", Text),
    Column("profile", Text),
    Column("state", Text),
    Column("hangup_cause", Text),
    Column("hangup_source", Text),
    Column("interruptions", Integer),
    Column("first_word_ms", Integer),
    Column("usage", Text),
    Column("cost_usd", Double),
    Column("recording", Text),
    Column("answered_at", Text),
    Column("answered_seconds", Double),
    Column("carrier_usd", Double),
    Column("business", Text),
    Index("idx_conversations_phone_number", "phone_number"),
    Index("idx_conversations_started_at", text("started_at DESC")),
    Index("idx_conversations_caller_number", "caller_number"),
    Index("idx_conversations_carrier_call_id", "carrier_call_id"),
)
IS_PART: Final = func.coalesce(conversations.c.carrier_session_id, "").startswith(PART_OF)
"""It is the second leg of another conversation: calls and minutes count there, and here what the model costs."""
EARLIER: Final = (
    "id", "stream_sid", "phone_number", "phone_number_sid", "caller_number", "started_at", "ended_at",
    "duration_seconds", "message_count", "created_at",
)  # fmt: skip
"""The columns of a conversation that the earlier system has."""

items: Final = Table(
    "conversation_items",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("conversation_id", Integer, ForeignKey("conversations.id", ondelete="CASCADE"), nullable=False),
    Column("item_id", Text, nullable=False),
    Column("item_type", Text, nullable=False),
    Column("role", Text),
    Column("content", Text),
    Column("status", Text),
    Column("timestamp", Text),
    Column("call_id", Text),
    Column("function_name", Text),
    Column("function_params", Text),
    Column("function_output", Text),
    Column("created_at", Text, server_default=_NOW),
    # Ours
    Column("text", Text),
    Column("heard_text", Text),
    Column("heard_ms", Integer),
    Column("of_ms", Integer),
    Column("latency", Text),
    UniqueConstraint("conversation_id", "item_id"),
    Index("idx_items_conversation_id", "conversation_id"),
)
"""`call_id` is the model's id of a tool call. `content` is a JSON array of `{type, text}`; `text` its words alone."""

streams: Final = Table(
    "streams",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("conversation_id", Integer, ForeignKey("conversations.id", ondelete="CASCADE"), nullable=False),
    Column("stream_sid", Text, nullable=False),
    Column("started_at", Text, nullable=False),
    Column("ended_at", Text),
    Column("reason", Text),
    Index("idx_streams_conversation_id", "conversation_id"),
    Index("idx_streams_stream_sid", "stream_sid"),
)
"""Every media stream of a call; the first gives its conversation the `stream_sid`."""

transitions: Final = Table(
    "transitions",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("conversation_id", Integer, ForeignKey("conversations.id", ondelete="CASCADE"), nullable=False),
    Column("at", Text, nullable=False),
    Column("event", Text, nullable=False),
    Column("before", Text, nullable=False),
    Column("after", Text, nullable=False),
    Index("idx_transitions_conversation_id", "conversation_id"),
)

recordings: Final = Table(
    "recordings",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("conversation_id", Integer, ForeignKey("conversations.id", ondelete="CASCADE"), nullable=False),
    Column("carrier", Text, nullable=False),
    Column("recording_id", Text, nullable=False),
    Column("state", String(10), nullable=False),
    Column("channels", Integer),
    Column("seconds", Double),
    Column("reason", Text),
    Column("created_at", Text, nullable=False),
    UniqueConstraint("conversation_id", "recording_id"),
    Index("idx_recordings_recording_id", "recording_id"),
    Index("idx_recordings_created_at", "created_at"),
)
"""The recordings that the carrier has made of a call. `recording_id` is the carrier's, "" where it names none. `state`:
`running`, `ready` or `failed`, and why is the `reason`. Our own are files, named in `conversations.recording`."""

kept_settings: Final = Table(
    "kept_settings",
    metadata,
    Column("profile", String(64), primary_key=True),
    Column("name", String(64), primary_key=True),
    Column("value", Text, nullable=False),
    Column("changed_at", Text, nullable=False),
)
"""What operators have changed for coming calls: a row for each setting, so that of two changes at once neither is lost.
The value is JSON. `profile`: `default` for all numbers, or a profile of the database, whose telephone numbers are the
row `numbers`."""

profile_versions: Final = Table(
    "profile_versions",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("profile", String(64), nullable=False),
    Column("version", Integer, nullable=False),
    Column("changed_at", Text, nullable=False),
    Column("changed_by", Text, nullable=False),
    Column("settings", Text),
    UniqueConstraint("profile", "version"),
)
"""Every version of each profile of the database, as it was after a change, in the order of `seq`. `settings`: its rows
of `kept_settings` as one JSON object; NULL: it was deleted."""

do_not_call: Final = Table(
    "do_not_call",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("number", String(16), nullable=False),
    Column("business", String(64), nullable=False),
    Column("reason", Text, nullable=False),
    Column("added_at", Text, nullable=False),
    Column("added_by", Text, nullable=False),
    UniqueConstraint("number", "business"),
)
"""Numbers that are never dialled, in E.164. `business` "": for all of them. They belong to no call, and deleting calls
leaves them as they are."""

events_out: Final = Table(
    "events_out",
    metadata,
    Column("seq", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("id", String(40), nullable=False, unique=True),
    Column("call", String(36), nullable=False),
    Column("type", String(64), nullable=False),
    Column("at", Double, nullable=False),
    Column("body", Text, nullable=False),
    Column("state", String(10), nullable=False),
    Column("tries", Integer, nullable=False),
    Column("since", Double, nullable=False),
    Column("next_at", Double, nullable=False),
    Column("settled_at", Double),
    Column("error", Text),
    Index("idx_events_out_state", "state", "next_at"),
    Index("idx_events_out_call", "call", "state", "seq"),
)
"""What is sent to EVENTS_URL, in the order of `seq`; see `events_out.py`. `state`: `waiting`, `delivered` or `dead`.
`body`: the JSON that is sent; "" once it is delivered. Times are Unix time, in seconds: `at` of the event, `since` when
it was first to be sent, `next_at` of the next try, `settled_at` when it was delivered or given up."""

pointed_numbers: Final = Table(
    "pointed_numbers",
    metadata,
    Column("carrier", String(20), primary_key=True),
    Column("number", String(32), primary_key=True),
    Column("temporary", Boolean, primary_key=True),
    Column("address", Text, nullable=False),
    Column("parts", Text, nullable=False),
    Column("at", Double, nullable=False),
)
"""Numbers whose calls were brought here, and what their carriers held before (`parts`, JSON), so that it can be undone,
by any process that shares the database. `at` is Unix time."""

campaigns: Final = Table(
    "campaigns",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("seq", BigInteger, nullable=False),
    Column("name", Text, nullable=False),
    Column("state", String(10), nullable=False),
    Column("asked", Text, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("created_at", Text, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("start_at", Double, nullable=False),
    Column("finished_at", Double),
    Column("error", Text, nullable=False),
    Column("business", Text, nullable=False, server_default=""),
    Index("idx_campaigns_seq", "seq"),
)
"""Lists of calls. `state`: `loading` (its rows are being written), `running`, `paused`, `cancelled` or `finished`.
`asked`: how its rows are called, as JSON. `digest`: of the request that made it. `seq`: microseconds of Unix time when
it was made. `start_at`, `finished_at`: Unix time, in seconds. `error`: why it was paused by itself; "": it was not."""

campaign_rows: Final = Table(
    "campaign_rows",
    metadata,
    Column("campaign", String(36), primary_key=True),
    Column("row", Integer, primary_key=True, autoincrement=False),
    Column("line", Integer, nullable=False),
    Column("number", String(16), nullable=False),
    Column("zones", Text, nullable=False),
    Column("variables", Text, nullable=False),
    Column("state", String(10), nullable=False),
    Column("tries", Integer, nullable=False),
    Column("next_at", Double, nullable=False),
    Column("changed_at", Double, nullable=False),
    Column("outcome", String(20), nullable=False),
    Column("reason", Text, nullable=False),
    Index("idx_campaign_rows_due", "campaign", "state", "next_at", "row", "zones"),
)
"""Whom a campaign calls. `state`: `waiting` (from `next_at` on), `dialling` (taken; its call is the one whose
Idempotency-Key is made of campaign, row and `tries`), `done`, `given_up`, `skipped` or `cancelled`. `tries`: calls that
are over. `outcome`: of the newest of them. `zones`: IANA names, separated by commas. `variables`: a JSON object."""

provisions: Final = Table(
    "provisions",
    metadata,
    Column("carrier", String(20), primary_key=True),
    Column("resource", String(100), primary_key=True),
    Column("about", Text, nullable=False),
    Column("before", Text, nullable=False),
    Column("after", Text, nullable=False),
    Column("at", Double, nullable=False),
)
"""What carriers do when this server does not answer, as it was set from here: fields of a resource, as JSON objects.
`at`: Unix time, in seconds."""

control_settings: Final = Table(
    "control_settings",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("settings", Text, nullable=False),
    Column("changed_at", Text, nullable=False),
    Column("changed_by", Text, nullable=False),
)
"""The runtime settings of the control endpoint, a JSON object as it was given: one row, or none."""

images: Final = Table(
    "images",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("conversation_id", Integer, ForeignKey("conversations.id", ondelete="CASCADE"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("shown_at", Text, nullable=False),
    Column("shown_by", Text, nullable=False),
    Column("mime", Text, nullable=False),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("size", Integer, nullable=False),
    Column("shown", LargeBinary, nullable=False),
    Column("thumbnail", LargeBinary, nullable=False),
    UniqueConstraint("conversation_id", "number"),
)
"""Pictures that were shown to the model: as it got them (`shown`, of the type `mime`), and as people see them
(`thumbnail`, a small JPEG). `width`, `height` and `size` (bytes) are those of what was sent."""

hidden_conversations: Final = Table(
    "hidden_conversations",
    metadata,
    Column(
        "conversation_id",
        Integer,
        ForeignKey("conversations.id", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    ),
    Column("until", Double, nullable=False),
)
"""Conversations that were deleted and that nobody finds any more. `until`: when they are deleted (Unix time, seconds);
before that it can be undone."""

alerts: Final = Table(
    "alerts",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("key", String(100), nullable=False),
    Column("severity", String(10), nullable=False),
    Column("about", Text, nullable=False),
    Column("what", Text, nullable=False),
    Column("remedy", Text, nullable=False),
    Column("opened_at", Double, nullable=False),
    Column("seen_at", Double),
    Column("seen_by", Text, nullable=False),
    Column("closed_at", Double),
    Column("closed_by", Text, nullable=False),
    Column("over_at", Double),
    Index("idx_alerts_opened_at", "opened_at"),
)
"""What the server has found wrong with itself; see `switchboard/health/`. `closed_by` "": it closed by itself.
`over_at`: when it was no more so, which is later than `closed_at` where somebody has closed it before."""

share_links: Final = Table(
    "share_links",
    metadata,
    Column("id", String(16), primary_key=True),
    Column("digest", String(64), nullable=False),
    Column("conversation_id", Integer, ForeignKey("conversations.id", ondelete="CASCADE"), nullable=False),
    Column("created_at", Double, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("expires_at", Double, nullable=False),
    Index("idx_share_links_conversation_id", "conversation_id"),
)
"""Links with which somebody without a token reads one call. `digest`: SHA-256 of what must be known for that."""
own_tools: Final = Table(
    "own_tools",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("name", String(64), nullable=False),
    Column("version", Integer, nullable=False),
    Column("changed_at", Text, nullable=False),
    Column("changed_by", Text, nullable=False),
    Column("definition", Text),
    UniqueConstraint("name", "version"),
)
"""Every version of each tool that operators have defined on the page, in the order of `seq`. `definition`: JSON; NULL:
it was deleted."""

saved_views: Final = Table(
    "saved_views",
    metadata,
    Column("name", String(80), primary_key=True),
    Column("business", String(64), primary_key=True),
    Column("filters", Text, nullable=False),
    Column("changed_at", Text, nullable=False),
    Column("changed_by", Text, nullable=False),
)
"""Searches of the history that operators have saved. `filters`: a JSON object. `business`: of whoever saved it; "":
nobody's in particular."""

SEARCH: Final = "conversation_search"
"""All words of a conversation under its id: an FTS5 table in SQLite, a table with a GIN index in PostgreSQL."""
_SIGNS: Final = "[!-/:-@[-`{-~]+"
"""What PostgreSQL is not to see: `anna@example.com`, `12.50` and `12-34` are one word each to it."""
SAID: Final = "coalesce(heard_text, text)"
"""Of an item: words that the caller never heard were not said."""


MESSAGES: Final = (
    select(func.count())
    .select_from(items)
    .where(items.c.conversation_id == conversations.c.id, items.c.item_type == "message")
    .scalar_subquery()
)
"""The `message_count` of a conversation."""


def find_words(is_sqlite: bool, which: str) -> tuple[TextClause, ...]:
    """Return the statements that bring SEARCH up to date for one conversation: `which` it is, such as `call_id =
    :call`."""
    words = (
        f"FROM conversation_items WHERE conversation_id = (SELECT id FROM conversations WHERE {which}) AND text <> ''"
    )
    if is_sqlite:
        return (
            text(f"DELETE FROM {SEARCH} WHERE rowid = (SELECT id FROM conversations WHERE {which})"),
            text(
                f"INSERT INTO {SEARCH} (rowid, words) SELECT conversation_id, group_concat({SAID}, ' ') {words} "
                "GROUP BY conversation_id"
            ),
        )
    return (
        text(
            f"INSERT INTO {SEARCH} (id, words) SELECT conversation_id, "
            f"regexp_replace(string_agg({SAID}, ' ' ORDER BY id), '{_SIGNS}', ' ', 'g') {words} "
            "GROUP BY conversation_id ON CONFLICT (id) DO UPDATE SET words = excluded.words"
        ),
    )


def iso(at: float) -> str:
    """Return a Unix time (seconds) as it stands in the tables: `2026-01-31T12:00:00.000Z`."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
