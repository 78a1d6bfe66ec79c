"""Campaigns as operators handle them: made of a list of numbers, looked at, paused, resumed and cancelled.

The rows are checked by threads, a few hundred at a time, and written in small transactions. `runner.py` dials them.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from callflow.contracts import prompt_variables
from callflow.contracts.errors import BadList, DialRefused
from callflow.history.campaign_store import (
    CANCELLED,
    DIALLING,
    LOADING,
    OVER,
    PAUSED,
    RUNNING,
    SKIPPED,
    WAITING,
)
from callflow.history.history import History
from callflow.history.idempotency_keys import call_of, key_of
from callflow.history.tables import iso
from callflow.switchboard.campaigns import zones
from callflow.switchboard.campaigns.rows import MOST_ROWS, Row, judge, variable_warnings
from callflow.switchboard.campaigns.schedule import Schedule, read_schedule
from callflow.switchboard.dialer import Dialer, DialRequest
from callflow.switchboard.setting_service import SettingService
from callflow.switchboard.shielded_changes import ShieldedChanges


_CAMPAIGNS: Final = uuid.UUID("7a0c3d62-4a1e-5f39-9f0e-1c9d2a6b8e54")
_SOME: Final = 250
"""Rows that are checked by one trip to a thread."""
_MOST_SHOWN: Final = 100
"""Skipped rows that the answer to a new list has; the others are read a page at a time."""
_LISTED: Final = "it is on the do-not-call list"
_NO_ROOM_SECONDS: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignRequest:
    """A list of calls as somebody asks for it."""

    rows: Callable[[], Iterator[Row]]
    """Reads the list, in a thread. Raises BadList."""
    schedule: Schedule
    call: DialRequest
    """How each row is called, without its number and its key."""
    name: str = ""
    start_at: float = 0.0
    """Unix time, in seconds; 0: at once."""
    is_paused: bool = False
    """It does not begin before it is resumed."""
    is_dry: bool = False
    """Nothing is kept and nobody is called: only what would be skipped is told."""
    key: str = ""
    """The same key makes the same campaign; "": each request makes one of its own."""
    digest: str = ""
    """Of the request's body, to compare requests with one key."""


def request_of(asked: Mapping[str, Any], row: Mapping[str, Any]) -> DialRequest:
    """Return the call of a row. `asked`: the column of its campaign, decoded."""
    call = asked["call"]
    variables = prompt_variables.read(json.loads(row["variables"] or "{}")).values
    return DialRequest(
        to_number=row["number"], from_number=call["from"], carrier=call["carrier"], profile=call["profile"],
        session=call["session"], variables=variables, record=call["record"], by=call["by"],
        key=key_of(row["campaign"], row["row"], row["tries"]), business=call.get("business", ""),
    )  # fmt: skip


class Campaigns:
    """All campaigns of the history."""

    def __init__(
        self,
        history: History,
        dialer: Dialer,
        shielded: ShieldedChanges,
        *,
        check: Callable[[str], str],
        wake: Callable[[], object],
    ) -> None:
        """`shielded`: whoever closes the history waits for it. `check`: returns why a number may not be dialled, as
        `DialRules.check`. `wake`: called when a campaign is to dial."""
        self._history, self._dialer, self._check, self._wake = history, dialer, check, wake
        self._reading = asyncio.Lock()
        self._shielded = shielded

    # Making

    async def make(self, request: CampaignRequest) -> tuple[dict[str, Any], bool]:
        """Make a campaign, or find the one that an earlier request with this key has made. Returns what `describe`
        tells of it, and whether it is new. Raises DialRefused, BadList, and what the database's driver raises."""
        if self._reading.locked():
            raise DialRefused(503, "Another list is being read: try again in a moment.", wait=_NO_ROOM_SECONDS)
        async with self._reading:
            key = f"{request.call.business}\n{request.key}" if request.call.business else request.key
            campaign = str(uuid.uuid5(_CAMPAIGNS, key) if request.key else uuid.uuid4())
            if request.key and (earlier := await self._history.campaigns.find(campaign)) is not None:
                return await self._made_before(earlier, request), False
            carrier, asked, business = await self._dialer.check(request.call)
            rows = await self._judged(request, business)
            told = {**_skipped(rows), "warnings": await asyncio.to_thread(variable_warnings, asked, rows)}
            if request.is_dry:
                call = await self._one_call(request.call)
                return {"dry_run": True, **request.schedule.to_json(), **told, "call": call}, True
            is_new = await self._shielded(self._keep(campaign, request, carrier, business, rows))
            found = await self._history.campaigns.find(campaign) or {}
            if not is_new:  # another node has been sent the same
                return await self._made_before(found, request), False
            return {**await self.describe(found), **told}, True

    async def _made_before(self, campaign: Mapping[str, Any], request: CampaignRequest) -> dict[str, Any]:
        """Return what `describe` tells of the campaign that has the key of a request. Raises DialRefused."""
        if campaign["digest"] != request.digest:
            raise DialRefused(422, "This Idempotency-Key belongs to another list: use a new key.")
        return await self.describe(campaign)

    async def _one_call(self, request: DialRequest) -> dict[str, Any]:
        """Return what one call would be: `carrier`, `from`, `profile`, `model`, `minute` (its price; None: unknown) and
        `seconds` (the longest)."""
        outline = await self._dialer.outline(request)
        return {"carrier": outline.carrier, "from": outline.from_number, **SettingService.of_call(outline.config)}

    async def _judged(self, request: CampaignRequest, business: str) -> list[Row]:
        reading, schedule, now = await asyncio.to_thread(request.rows), request.schedule, self._history.now()
        rows: list[Row] = []
        seen: set[str] = set()
        while True:
            some = await asyncio.to_thread(
                judge, reading, schedule, now, check=self._check, seen=seen, most=min(_SOME, MOST_ROWS + 1 - len(rows))
            )
            if not some:
                break
            rows += some
            if len(rows) > MOST_ROWS:
                raise BadList(f"The list has more than {MOST_ROWS:,} rows: send it in parts.")
            listed = await self._history.do_not_call.listed([row.number for row in some if not row.reason], business)
            for row in some:
                if row.number in listed and not row.reason:
                    row.reason = _LISTED
        if not rows:
            raise BadList("The list has no rows.")
        return rows

    async def _keep(
        self, campaign: str, request: CampaignRequest, carrier: str, business: str, rows: list[Row]
    ) -> bool:
        """Write a campaign, and let it begin. Returns False if there is one with its key already."""
        call = {
            "from": request.call.from_number, "shown": self._dialer.own_number(request.call), "carrier": carrier,
            "profile": request.call.profile, "session": dict(request.call.session), "record": request.call.record,
            "by": request.call.by,
            **({"business": request.call.business} if request.call.business else {}),
        }  # fmt: skip
        entry = {
            "id": campaign, "name": request.name, "digest": request.digest, "business": business,
            "created_by": request.call.by, "start_at": request.start_at,
            "asked": json.dumps({"plan": request.schedule.to_json(), "call": call}),
        }  # fmt: skip
        now = self._history.now()
        kept = await asyncio.to_thread(lambda: [_kept(number, row, now) for number, row in enumerate(rows, start=1)])
        store = self._history.campaigns
        if not await store.add(entry, kept):
            return False
        if not await store.set_state(campaign, PAUSED if request.is_paused else RUNNING, of=[LOADING]):
            await store.cancel_rows(campaign, now)  # this process stood still for so long that it was believed dead
        self._wake()
        return True

    # Handling

    async def change(self, campaign: str, state: str) -> bool:
        """Pause, resume or cancel a campaign. Returns False if it is over, or still being written."""
        return await self._shielded(self._change(campaign, state))

    async def _change(self, campaign: str, state: str) -> bool:
        store = self._history.campaigns
        now = self._history.now()
        changed = await store.set_state(campaign, state, of=[RUNNING, PAUSED], now=now)
        if changed and state == CANCELLED:
            await store.cancel_rows(campaign, now)
        self._wake()
        return changed

    async def describe(self, campaign: Mapping[str, Any]) -> dict[str, Any]:
        """Return what the API tells of a campaign (`GET /api/campaigns/{id}`): its schedule, and how far it has come.
        `campaign`: its row."""
        store = self._history.campaigns
        counts = await store.counts(campaign["id"])
        asked = json.loads(campaign["asked"])
        schedule = read_schedule(asked["plan"], [])
        following: float | None = None
        if campaign["state"] == RUNNING and counts["state"].get(WAITING):
            waiting, now = await store.waiting(campaign["id"]), self._history.now()
            following = await asyncio.to_thread(zones.next_open, schedule, waiting, max(now, campaign["start_at"]))
        call = asked["call"]
        return {
            "id": campaign["id"],
            "name": campaign["name"],
            "state": campaign["state"],
            "created": campaign["created_at"],
            "by": campaign["created_by"],
            "start": iso(campaign["start_at"]) if campaign["start_at"] else None,
            "finished": iso(campaign["finished_at"]) if campaign["finished_at"] else None,
            "error": campaign["error"] or None,
            "carrier": call["carrier"],
            "profile": call["profile"] or None,
            "business": campaign["business"] or None,
            **asked["plan"],
            "rows": sum(counts["state"].values()),
            "by_state": counts["state"],
            "by_outcome": counts["outcome"],
            "skipped": {"rows": counts["state"].get(SKIPPED, 0), "reasons": counts["reason"]},
            "next": iso(following) if following is not None else None,
            "url": f"/api/campaigns/{campaign['id']}",
        }

    def row_json(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Return what the API tells of a row."""
        tries = row["tries"] if row["state"] == DIALLING else row["tries"] - 1
        return {
            "row": row["row"], "line": row["line"], "number": row["number"] or None, "state": row["state"],
            "outcome": row["outcome"] or None, "reason": row["reason"] or None, "calls": row["tries"],
            "timezones": row["zones"].split(",") if row["zones"] else [],
            "next": iso(row["next_at"]) if row["state"] == WAITING else None,
            "call": call_of(key_of(row["campaign"], row["row"], tries)) if tries >= 0 else None,
            "variables": json.loads(row["variables"]),
        }  # fmt: skip

    @staticmethod
    def is_over(campaign: Mapping[str, Any]) -> bool:
        """Return whether nothing more becomes of a campaign."""
        return campaign["state"] in OVER


def _kept(number: int, row: Row, now: float) -> dict[str, Any]:
    """Return a row as it stands in its table."""
    return {
        "row": number, "line": row.line, "number": row.number, "zones": "" if row.reason else row.zones,
        "variables": json.dumps(dict(row.variables)), "state": SKIPPED if row.reason else WAITING, "tries": 0,
        "next_at": now, "changed_at": now, "outcome": "", "reason": row.reason[:300],
    }  # fmt: skip


def _skipped(rows: list[Row]) -> dict[str, Any]:
    """Return how many of the rows are called, and which are not and why."""
    left_out = [row for row in rows if row.reason]
    reasons = Counter(row.reason for row in left_out)
    shown = [{"line": row.line, "number": row.number or None, "reason": row.reason} for row in left_out[:_MOST_SHOWN]]
    skipped: dict[str, Any] = {"rows": len(left_out), "reasons": dict(reasons.most_common(20)), "first": shown}
    return {"rows": len(rows), "called": len(rows) - len(left_out), "skipped": skipped}
