"""Tokens that are bound to one business: what is its own, and that everything else is as if it were not there."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from werkzeug.routing import Rule

from callflow.config.settings import Settings
from callflow.history.recording_rows import newest
from callflow.history.recording_store import RecordingFolder
from callflow.journal.notes import Recording
from callflow.web.console.business_scope import ROUTES
from callflow.web.console.identity import NOTHING, Operator, named_tokens
from callflow.web.console.policy import AccessPolicy
from tests.web.asgi import Answer
from tests.web.console.stage import CALL, Stage, play


ALL, TAXIS, BAKERY, SECOND = (f"the-token-number-{each}-of-all" for each in range(4))
NAMED = f"desk:configure:taxis:{TAXIS},oven:configure:bakery:{BAKERY},second:configure:{SECOND}"
OURS, THEIRS, NOBODYS = "+15550100002", "+15550100003", "+15550100009"
CALLS = {
    name: f"7f1c7d0e-6a57-4c39-8f3c-0f4ad6f2a1b{number}" for number, name in enumerate(("taxis", "bakery", ""), start=1)
}


def settings() -> Settings:
    made = Settings()
    made._profiles = {
        "cabs": {"numbers": [OURS], "business": "taxis"},
        "bread": {"numbers": [THEIRS], "business": "bakery", "instructions": "The secret of the bread."},
    }
    return made


def as_(the: Stage, token: str) -> Stage:
    the.headers = {"authorization": f"Bearer {token}"}
    return the


def played(folder: Path, main: Callable[[Stage], Coroutine[Any, Any, None]]) -> None:
    async def begin(the: Stage) -> None:
        await the.profiles.load()
        for business, call in CALLS.items():
            began = {"business": business, "profile": "x", "from_number": "+15550100077"}
            await the.write_call(call, at=1_700_000_000.0 + len(business), **began)
        await main(as_(the, TAXIS))

    play(folder, begin, token=ALL, settings=settings(), named_tokens=NAMED)


async def told(the: Stage, path: str) -> Any:
    answer = await the.get(path)
    assert answer.status == 200, answer.json()
    return answer.json()


async def send(the: Stage, method: str, path: str, **body: Any) -> Answer:
    return await the.send(method, path, json.dumps(body).encode())


# The door


def test_each_token_has_its_holder_and_a_wrong_one_has_none() -> None:
    door = AccessPolicy("x", ALL, named_tokens(NAMED))

    def holder(token: str) -> Operator:
        return door.check([(b"host", b"x"), (b"authorization", f"Bearer {token}".encode())], "POST", "/api/calls")

    assert [holder(token) for token in (ALL, TAXIS, BAKERY, SECOND)] == [
        Operator(), Operator("desk", "taxis"), Operator("oven", "bakery"), Operator("second", ""),
    ]  # fmt: skip
    for wrong in ("", "desk", f"taxis:{TAXIS}", f"desk:taxis:{TAXIS}", TAXIS[:-1], f"{TAXIS}x", NAMED):
        with pytest.raises(Exception, match="token") as caught:
            holder(wrong)
        assert getattr(caught.value, "status", None) == 401


@pytest.mark.parametrize(
    "given",
    ["desk", "desk:taxis", "desk:taxis:short", f":taxis:{TAXIS}", f"a b:taxis:{TAXIS}", f"desk:t/x:{TAXIS}",
     f"desk:taxis:{TAXIS},desk:bakery:{BAKERY}", f"desk:taxis:{TAXIS},oven:bakery:{TAXIS}", "desk:taxis:"],
)  # fmt: skip
def test_tokens_that_make_no_sense_stop_the_start(given: str) -> None:
    with pytest.raises(ValueError, match="console_tokens"):
        Settings(console_tokens=given)  # type: ignore[arg-type]


# Closed unless it is named


def _path(rule: Rule) -> str:
    path = rule.rule.replace("<path:", "<").replace("<int:version>", "1")
    for name, value in {"call": CALLS["taxis"], "sid": CALLS["taxis"]}.items():
        path = path.replace(f"<{name}>", value)
    return path.replace("<", "").replace(">", "")


def test_a_route_that_is_not_named_is_not_there(tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        rules = [(method, rule) for rule in the.app.url_map.iter_rules() for method in rule.methods or ()]
        closed = [each for each in rules if each[0] != "HEAD" and (each[0], each[1].rule) not in ROUTES]
        assert len(closed) > 15
        for method, rule in closed:
            answer = await the.send(method, _path(rule), b"{}")
            assert (answer.status, answer.json()) == (404, {"error": NOTHING}), (method, rule.rule)
        for path in ("/mcp", "/mcp/", "//mcp", "/nothing", "/api/nothing"):
            for method in ("GET", "POST"):
                assert (await the.send(method, path, b"{}")).status == 404, path

    played(tmp_path, main)


def test_what_belongs_to_another_is_not_there_either(tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        served = {rule.rule for rule in the.app.url_map.iter_rules()}
        for (method, rule), part in ROUTES.items():
            if rule not in served or part not in ("call", "sid", "name"):
                continue
            for foreign in (CALLS["bakery"], CALLS[""], "0" * 8 + CALL[8:], f"{CALLS['bakery']}-1"):
                path = rule.replace(f"<{part}>", foreign)
                answer = await the.send(method, path, b'{"on": true, "when": "now"}')
                assert (answer.status, answer.json()) == (404, {"error": NOTHING}), (method, path)
        for live in (the.live(CALLS["bakery"], business="bakery"), the.live(CALLS[""], business="")):
            assert (await send(the, "POST", f"/api/calls/{live.id}/hangup", when="now")).status == 404
            assert live.hung_up == []

    played(tmp_path, main)


# What is its own


def test_calls(tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        own = CALLS["taxis"]
        assert [call["id"] for call in await told(the, "/api/calls")] == [own]
        assert (await the.get(f"/api/calls?sid={CALLS['bakery']}")).status == 404
        assert (await told(the, f"/api/calls?sid={own}"))["id"] == own
        assert (await told(the, f"/api/calls/{own}"))["conversation"]["business"] == "taxis"
        assert (await the.get(f"/api/conversations/stream/{own}")).status == 200
        for path in ("/api/conversations", "/api/conversations/export", "/api/conversations/phone/+15550100002"):
            assert len(await told(the, path)) == 1, path
        for name, business in (("a", "taxis"), ("b", "bakery"), ("c", "")):
            the.live(name, business=business)
        listed = await told(the, "/api/calls/live")
        assert ([call["id"] for call in listed["live"]], listed["recorded"]) == (["a"], [own])
        assert (await send(the, "POST", "/api/calls/a/hangup", when="now")).json()["by"] == "token desk"
        assert the.calls["a"].hung_up == [("now", "token desk")]
        for token in (ALL, SECOND):
            assert len(await told(as_(the, token), "/api/calls")) >= 3
            assert len((await told(the, "/api/calls/live"))["live"]) == 3
        (call,) = (call for call in await told(as_(the, BAKERY), "/api/calls") if call["id"] in CALLS.values())
        assert call["id"] == CALLS["bakery"]

    played(tmp_path, main)


def test_recordings(tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        folder = the.history.recordings
        folder.mkdir(parents=True, exist_ok=True)
        for business, call in CALLS.items():
            await the.write(Recording(file=f"{business or 'nobody'}.wav"), call=call)
            (folder / f"{business or 'nobody'}.wav").write_bytes(b"RIFF" + bytes(60))
        (one,) = await told(the, "/api/recordings")
        assert one["call"] == CALLS["taxis"]
        assert (await the.get(one["mediaUrl"])).status == 200
        assert (await the.get(f"/api/calls/{CALLS['taxis']}/recording")).status == 200
        assert await told(the, f"/api/recordings?callSid={CALLS['bakery']}") == []
        for foreign in (CALLS["bakery"], CALLS[""]):
            assert (await the.get(f"/api/recordings/{foreign}-1/audio")).status == 404
            assert (await the.get(f"/api/calls/{foreign}/recording")).status == 404
        assert len(await told(as_(the, ALL), "/api/recordings")) == 3
        assert len(await newest(the.history.database, RecordingFolder(folder), 9, business="bakery")) == 1

    played(tmp_path, main)


def test_numbers_that_must_not_be_called(tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        path = "/api/do-not-call"
        assert (await send(the, "POST", path, number="+12025550111")).json()["business"] == "taxis"
        assert (await send(the, "POST", path, number="+12025550112", business="bakery")).status == 400
        as_(the, BAKERY)
        assert await told(the, path) == []
        assert (await the.get(f"{path}/+12025550111")).status == 404
        assert (await send(the, "DELETE", f"{path}/+12025550111")).status == 404
        as_(the, ALL)
        await send(the, "POST", path, number="+12025550113")
        await send(the, "POST", path, number="+12025550114", business="bakery")
        assert len(await told(the, path)) == 3
        listed, entries = ["+12025550111", "+12025550113", "+12025550114"], the.history.do_not_call
        assert await entries.listed(listed, "taxis") == set(listed[:2])
        assert await entries.listed(listed) == {listed[1]}
        assert [one["number"] for one in await told(as_(the, TAXIS), path)] == ["+12025550111"]
        assert (await send(the, "DELETE", f"{path}/+12025550113")).status == 404
        assert (await send(the, "DELETE", f"{path}/+12025550111")).status == 200
        assert (await as_(the, ALL).send("DELETE", f"{path}/+12025550114?business=bakery")).status == 200

    played(tmp_path, main)


@pytest.mark.exhaustive
def test_profiles(tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        cabs, bread = "/api/profiles/cabs", "/api/profiles/bread"
        assert [one["name"] for one in (await told(the, "/api/profiles"))["profiles"]] == ["cabs"]
        changed = (await send(the, "PATCH", cabs, voice="cedar")).json()
        assert (changed["business"], changed["by"], changed["kept"]["business"]) == ("taxis", "token desk", "taxis")
        assert (await send(the, "PUT", cabs, numbers=[OURS])).json()["kept"] == {"business": "taxis"}
        assert (await send(the, "PATCH", cabs, business=None)).json()["business"] == "taxis"
        assert "business must be" in (await send(the, "PATCH", cabs, business="bakery")).json()["error"]
        for number in (THEIRS, NOBODYS):
            refused = await send(the, "PATCH", cabs, numbers=[OURS, number])
            assert (refused.status, "bread" in str(refused.json())) == (400, False)
            assert "no number of this business" in refused.json()["error"]
        answers = [
            await the.get(bread), await send(the, "PATCH", bread, voice="ash"), await send(the, "DELETE", bread),
            await send(the, "PUT", bread, numbers=[OURS]), await the.get(f"{bread}/versions"),
            await send(the, "PUT", "/api/profiles/mine", numbers=[OURS]), await send(the, "DELETE", cabs),
        ]  # fmt: skip
        assert {answer.status for answer in answers} == {404}
        assert the.configs.config(THEIRS).profile == "bread"

        # A version of the time when the name was another's stays with that one.
        as_(the, ALL)
        await send(the, "PUT", bread, numbers=[THEIRS], business="bakery", greeting="The secret greeting.")
        await send(the, "PATCH", bread, business="taxis", greeting="Hello.")
        as_(the, TAXIS)
        assert [one["version"] for one in (await told(the, f"{bread}/versions"))["versions"]] == [2]
        assert (await the.get(f"{bread}/versions/2")).status == 200
        for method, path in (("GET", f"{bread}/versions/1"), ("POST", f"{bread}/versions/1/restore")):
            assert (await the.send(method, path, b"")).status == 404
        assert (await send(the, "POST", f"{bread}/versions/2/restore")).status == 200
        assert (await as_(the, BAKERY).get(f"{bread}/versions/1")).status == 404

    played(tmp_path, main)
