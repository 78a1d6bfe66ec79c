"""Alerts, the doctor and links to one call on the operators' listener."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
import math
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from callflow.contracts.diagnostics import Finding
from callflow.history.database import url_of
from callflow.history.events_out import EventMaker
from callflow.history.history import History
from callflow.history.tables import events_out
from callflow.journal.redaction import Redactor
from callflow.switchboard.health import service as module
from callflow.switchboard.health.alert_life_cycle import Alert, LifeCycle
from tests.web.console.stage import CALL, Stage, play


ALL, DESK, EYE = (f"the-token-number-{each}-of-all" for each in range(3))
NAMED = f"desk:operate:{DESK},eye:view:{EYE}"


async def judged(the: Stage, at: float, *found: Finding) -> None:
    """As if the server had looked at itself then, and found that."""
    the.health._is_in_charge = True
    await the.health._judge(module.Look(at, (), found, module._NO_SECRETS))


def as_(the: Stage, token: str) -> Stage:
    the.headers = {"authorization": f"Bearer {token}"}
    return the


async def listed(the: Stage, state: str = "") -> list[tuple[str, str, str]]:
    told = (await the.get(f"/api/alerts{'?state=' + state if state else ''}")).json()
    return [(one["about"], one["state"], one["closed_by"]) for one in told["alerts"]]


def test_an_alert_is_opened_seen_and_closed_and_lives_on_over_a_restart(database_url: str, tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        full = Finding("disk", "wrong", "0.1 GB free", "make room")
        for second in (0, 10, 20):
            await judged(as_(the, DESK), 1_700_000_000.0 + second, full)
        assert await listed(the) == [("disk", "open", "")]
        (alert,) = (await the.get("/api/alerts")).json()["alerts"]
        assert (await as_(the, EYE).send("POST", f"/api/alerts/{alert['id']}/seen")).status == 403
        seen = await as_(the, DESK).send("POST", f"/api/alerts/{alert['id']}/seen")
        assert (seen.status, seen.json()["seen_by"]) == (200, "token desk")
        assert (await the.send("POST", f"/api/alerts/{alert['id']}/seen")).status == 409
        assert (await the.send("POST", "/api/alerts/alert_none/closed")).status == 404
        the.health._cycle = None  # the process is another one
        await judged(the, 1_700_000_030.0, full)
        assert await listed(the, "seen") == [("disk", "seen", "")]
        for second in (100, 151):
            await judged(the, 1_700_000_000.0 + second)
        assert (await listed(the), await listed(the, "open")) == ([("disk", "closed", "")], [])
        assert (await the.get("/api/alerts")).json()["counts"] == {"open": 0, "seen": 0, "closed": 1}
        assert (await the.get("/api/alerts?state=new")).status == 400

    play(tmp_path, main, token=ALL, named_tokens=NAMED, url=database_url)


def test_closed_by_hand_it_stays_closed_and_without_a_database_alerts_are_in_memory(tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        late = Finding("time", "wrong", "40 ms", "end other work")
        for second in (0, 20):
            await judged(the, 1000.0 + second, late)
        (alert,) = (await the.get("/api/alerts")).json()["alerts"]
        assert (await the.send("POST", f"/api/alerts/{alert['id']}/closed")).status == 200
        await judged(the, 1030.0, late)
        assert await listed(the) == [("time", "closed", "operator")]
        the.health._took_ms = math.inf
        gone = Finding("database", "wrong", "it does not answer", "look at it")
        for second in (0, 20):
            await judged(the, 1100.0 + second, late, gone)
        assert await listed(the, "open") == [("database", "open", "")]
        assert (await the.send("POST", f"/api/alerts/{alert['id']}/seen")).status == 503
        the.health._took_ms = 1.0
        await judged(the, 1130.0, late)
        assert await listed(the) == [("database", "open", ""), ("time", "closed", "operator")], "it is written now"

    play(tmp_path, main)


def test_each_alert_makes_two_events_in_order_whoever_closes_it(database_url: str, tmp_path: Path) -> None:
    async def main() -> None:
        make = partial(EventMaker, redact=Redactor().data, recordings=tmp_path)
        history = History(
            url_of(database_url, str(tmp_path)), recordings=tmp_path, retention_days=0, country="", make_events=make
        )
        await history.open()
        one = LifeCycle(lambda: "alert_1")
        (alert,) = one.look([Finding("OpenAI", "wrong", "refused", "copy a key")], 5.0, scope="doctor/", is_sure=True)
        row = dataclasses.asdict(alert)
        for _ in range(2):  # what became of the first try is not known
            await history.alerts.save([row], [alert.id], 5.0)
        await history.alerts.close(alert.id, "token ada", 6.0)
        (over,) = one.look([], 7.0, scope="doctor/", is_sure=True)
        await history.alerts.save([dataclasses.asdict(over)], [], 7.0)
        wanted = select(events_out.c.type, events_out.c.call, events_out.c.body).order_by(events_out.c.seq)
        found = await history.database.read(lambda connection: list(connection.execute(wanted)))
        assert [(kind, call) for kind, call, _ in found] == [("alert.opened", "alert_1"), ("alert.closed", "alert_1")]
        opened, closed = (json.loads(body) for _, _, body in found)
        assert (opened["closed_at"], closed["closed_by"], closed["key"]) == (None, "token ada", "doctor/OpenAI")
        (kept,) = await history.alerts.page("closed", 9)
        assert (Alert(**kept).closed_by, kept["closed_at"], kept["over_at"]) == ("token ada", 6.0, 7.0)
        await history.alerts.expire(8.0)
        assert await history.alerts.page("", 9) == []
        await history.journal.close()
        await history.close()

    asyncio.run(main())


# Links to one call


def test_a_link_shows_one_call_masked_to_whoever_has_it_until_it_is_revoked(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)

    async def main(the: Stage) -> None:
        await the.write_call()
        items: list[dict[str, Any]] = [
            {"type": "message", "role": "user", "content": [{"type": "text", "text": "Call <me> at +15550100001"}]},
            {"type": "function_call", "call_id": "c", "name": "weather", "arguments": '{"place": "secret"}'},
        ]
        posted = json.dumps({"items": [{"id": f"i{number}", **one} for number, one in enumerate(items)]}).encode()
        assert (await as_(the, ALL).send("POST", f"/api/conversations/stream/{CALL}/items", posted)).status < 300
        path = f"/api/calls/{CALL}/share"
        assert (await as_(the, EYE).send("POST", path, b'{"days": 3}')).status == 403
        for wrong in (b'{"days": 8}', b'{"days": 0}', b'{"days": true}', b'{"sound": true}'):
            assert (await as_(the, DESK).send("POST", path, wrong)).status == 400
        answer = await the.send("POST", path, b'{"days": 3}')
        made = answer.json()
        assert answer.status == 201
        assert len(made["url"].partition("-")[2]) == 64
        (shown,) = (await the.get(f"/api/calls/{CALL}/shares")).json()
        assert shown == {name: made[name] for name in ("id", "created", "by", "expires")}
        the.headers = {}
        page = await the.get(made["url"])
        text = page.body.decode()
        assert (page.status, page.headers["referrer-policy"], page.headers["cache-control"]) == (
            200, "no-referrer", "no-store",
        )  # fmt: skip
        assert "default-src 'none'" in page.headers["content-security-policy"]
        assert "Call &lt;me&gt; at +1555•••0001" in text
        assert "weather" in text
        assert not any(each in text for each in ("5550100001", "5550100002", "secret", "<script", "desk"))
        assert (await the.get(made["url"][:-1] + "x")).status == 404
        assert (await the.get(made["url"].partition("-")[0] + "-" + "0" * 64)).status == 404
        assert (await the.send("DELETE", f"/api/shares/{made['id']}")).status == 401
        assert (await as_(the, DESK).send("DELETE", f"/api/shares/{made['id']}")).status == 200
        assert (await the.get(made["url"])).status == 404
        assert made["url"].partition("-")[2] not in caplog.text
        for _ in range(9):
            last = await the.get("/share/nothing")
        assert last.status == 429

    play(tmp_path, main, token=ALL, named_tokens=NAMED)


def test_a_link_ends_with_its_days_and_with_its_call(database_url: str, tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        await the.write_call()
        now = the.history.now()
        path = f"/api/calls/{CALL}/share"
        one, other = [(await the.send("POST", path)).json()["url"].removeprefix("/share/") for _ in range(2)]
        assert await the.history.shares.conversation(one, now + 86390) is not None
        assert await the.history.shares.conversation(one, now + 86410) is None
        for _ in range(18):
            assert (await the.send("POST", path)).status == 201
        assert (await the.send("POST", path)).status == 409
        assert (await the.send("DELETE", f"/api/calls/{CALL}")).status == 202
        assert (await the.get(f"/share/{other}")).status == 404, "it is hidden, and can still be brought back"
        assert (await the.send("POST", f"/api/calls/{CALL}/restore")).status == 200
        assert (await the.get(f"/share/{other}")).status == 200
        await the.send("DELETE", f"/api/conversations/stream/{CALL}")
        assert (await the.get(f"/share/{other}")).status == 404
        assert (await the.send("POST", path)).status == 404

    play(tmp_path, main, url=database_url)


def test_of_a_business_are_the_links_to_its_calls(tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        own, foreign = CALL, "7f1c7d0e-6a57-4c39-8f3c-0f4ad6f2a1bd"
        await the.write_call(own, business="taxis")
        await the.write_call(foreign, business="bakery")
        made: dict[str, Any] = {}
        for call in (own, foreign):
            made[call] = (await as_(the, ALL).send("POST", f"/api/calls/{call}/share")).json()
        as_(the, DESK)
        assert (await the.get(f"/api/calls/{own}/shares")).status == 200
        assert (await the.get(f"/api/calls/{foreign}/shares")).status == 404
        assert (await the.send("DELETE", f"/api/shares/{made[foreign]['id']}")).status == 404
        assert (await the.send("DELETE", f"/api/shares/{made[own]['id']}")).status == 200

    play(tmp_path, main, token=ALL, named_tokens=f"desk:operate:taxis:{DESK}")
