"""Profiles of the database over HTTP: made, changed, refused whole, versioned, brought back, deleted."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from callflow.config.kept_profiles import MOST_BYTES
from callflow.config.loader import load
from callflow.config.settings import Settings
from callflow.history.setting_versions import MOST_VERSIONS
from tests.web.asgi import Answer
from tests.web.console.stage import Stage, play, stage


TOKEN = "a-token-of-some-characters"
SALES, DESK, OTHER = "+15550100002", "+15550100003", "+15550100009"
URL = "/api/profiles/sales"


async def send(the: Stage, method: str, path: str = URL, **body: Any) -> Answer:
    return await the.send(method, path, json.dumps(body).encode() if body else b"")


async def done(the: Stage, method: str, path: str = URL, **body: Any) -> dict[str, Any]:
    answer = await send(the, method, path, **body)
    assert answer.status == 200, answer.json()
    told: dict[str, Any] = answer.json()
    return told


async def refused(the: Stage, method: str, path: str = URL, status: int = 400, **body: Any) -> str:
    answer = await send(the, method, path, **body)
    assert answer.status == status, (answer.status, answer.json())
    return " ".join(answer.json().get("problems", [answer.json()["error"]]))


def in_file(folder: Path, text: str) -> Settings:
    (folder / "settings.toml").write_text(text, encoding="utf-8")
    return load(toml=folder / "settings.toml", env_file=None)


def both(test: Any) -> Any:
    """Play a test in both databases."""

    async def main(database_url: str, tmp_path: Path) -> None:
        async with stage(tmp_path, token=TOKEN, url=database_url) as the:
            await test(the)

    main.__name__, main.__doc__, main.__module__ = test.__name__, test.__doc__, test.__module__
    return main


@both
async def test_a_profile_is_made_changed_and_deleted_and_calls_to_its_numbers_follow(the: Stage) -> None:
    told = await done(the, "PUT", numbers=[SALES], voice="cedar", greeting="Say hello.")
    assert {name: told[name] for name in ("name", "origin", "numbers", "version", "by", "warnings")} == {
        "name": "sales", "origin": "database", "numbers": [SALES], "version": 1, "by": "console", "warnings": [],
    }  # fmt: skip
    assert told["kept"] == {"voice": "cedar", "greeting": "Say hello."}
    assert told["settings"]["voice"] == {"value": "cedar", "origin": "profile sales, kept in the database"}
    assert told["settings"]["speed"] == {"value": 1.0, "origin": "default"}
    assert told["session"]["audio"]["output"]["voice"] == "cedar"
    config = the.configs.config(SALES)
    assert (config.profile, config.profile_version, config.agent.greeting) == ("sales", 1, "Say hello.")
    assert the.configs.config(OTHER).profile == ""

    told = await done(the, "PATCH", greeting=None, of_next_year=1)
    assert (told["version"], told["kept"]) == (2, {"voice": "cedar"})
    assert any("of_next_year is left out" in line for line in told["warnings"])
    told = await done(the, "PATCH", of_next_year=1)
    assert (told["version"], len(told["warnings"])) == (2, 1), "nothing has changed, so it is no version"
    session = {"audio": {"output": {"voice": "verse", "speed": 1.2}}}
    told = await done(the, "PATCH", session=session, numbers=[DESK])
    assert (told["kept"], told["numbers"]) == ({"voice": "verse", "speed": 1.2}, [DESK])
    assert (the.configs.config(SALES).profile, the.configs.config(DESK).profile_version) == ("", 3)

    assert (await done(the, "PUT", numbers=[SALES]))["kept"] == {}
    (one,) = (await done(the, "GET", "/api/profiles"))["profiles"]
    assert (one["name"], one["version"], one["numbers"]) == ("sales", 4, [SALES])
    assert await done(the, "DELETE") == {"success": True}
    assert the.configs.config(SALES).profile == ""
    assert "There is no profile" in await refused(the, "GET", status=404)
    assert "There is no profile" in await refused(the, "PATCH", status=404, voice="ash")
    assert "There is no profile" in await refused(the, "DELETE", status=404)


@both
async def test_versions_say_who_and_what_and_each_can_be_brought_back(the: Stage) -> None:
    await done(the, "PUT", numbers=[SALES], voice="cedar")
    the.headers["callflow-asked-by"] = "command line"
    await done(the, "PATCH", voice="verse", instructions='Be brief.\nVery brief: "ok".')
    await done(the, "DELETE")
    told = (await done(the, "GET", f"{URL}/versions"))["versions"]
    assert [(one["version"], one["by"], one["gone"], one["changes"]) for one in told] == [
        (3, "command line", True, ["instructions", "numbers", "voice"]),
        (2, "command line", False, ["instructions", "voice"]),
        (1, "console", False, ["numbers", "voice"]),
    ]
    assert all(len(one["changed"]) == len("2026-01-31T12:00:00.000Z") for one in told)
    old = await done(the, "GET", f"{URL}/versions/2")
    assert (old["numbers"], old["settings"]["voice"]) == ([SALES], "verse")
    told = await done(the, "POST", f"{URL}/versions/2/restore")
    assert (told["version"], told["kept"]["instructions"]) == (4, 'Be brief.\nVery brief: "ok".')
    assert the.configs.config(SALES).profile_version == 4
    assert "was deleted" in await refused(the, "POST", f"{URL}/versions/3/restore", status=409)
    for missing in (9, 99999999999):
        assert "no such version" in await refused(the, "POST", f"{URL}/versions/{missing}/restore", status=404)
        assert "no such version" in await refused(the, "GET", f"{URL}/versions/{missing}", status=404)
    await done(the, "PUT", "/api/profiles/desk", numbers=[DESK])
    await done(the, "PATCH", numbers=[OTHER])
    await done(the, "PATCH", "/api/profiles/desk", numbers=[SALES])
    assert "belongs to profile desk already" in await refused(the, "POST", f"{URL}/versions/1/restore")


@both
async def test_of_two_operators_at_once_the_second_is_told(the: Stage) -> None:
    assert (await done(the, "PUT", numbers=[SALES], version=0))["version"] == 1
    assert (await done(the, "PATCH", voice="cedar", version=1))["version"] == 2
    for method, path in (("PATCH", URL), ("PUT", URL), ("DELETE", URL), ("POST", f"{URL}/versions/1/restore")):
        assert "Version 1 is not the newest" in await refused(the, method, path, status=409, version=1), method
    at_once = [send(the, "PATCH", version=2, speed=1 + each / 100) for each in range(6)]
    assert sorted(answer.status for answer in await asyncio.gather(*at_once)) == [200, 409, 409, 409, 409, 409]
    numbers = [send(the, "PUT", f"/api/profiles/p{each}", numbers=[OTHER]) for each in range(6)]
    assert sorted(answer.status for answer in await asyncio.gather(*numbers)) == [200, 400, 400, 400, 400, 400]


async def test_two_processes_do_not_give_one_number_to_two_profiles(database_url: str, tmp_path: Path) -> None:
    async with (
        stage(tmp_path, token=TOKEN, url=database_url) as one,
        stage(tmp_path, token=TOKEN, url=database_url) as other,
    ):
        at_once = [
            send(each, "PUT", f"/api/profiles/p{number}", numbers=[OTHER])
            for number in range(4)
            for each in (one, other)
        ]
        answers = await asyncio.gather(*at_once)
        kept = (await one.profiles._store.read()).rows
        assert len(kept) == 1, [answer.json() for answer in answers]
        await other.profiles.load()
        assert other.configs.config(OTHER).profile == next(iter(kept))


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ({}, "empty"),
        ({"voice": "cedar"}, "numbers must list"),
        ({"numbers": []}, "numbers must list"),
        ({"numbers": SALES}, "numbers must list"),
        ({"numbers": [15550100002]}, "numbers must list"),
        ({"numbers": [" "]}, "numbers must list"),
        ({"numbers": [SALES] * 2000}, "1000 numbers"),
        ({"numbers": [SALES], "speed": 9, "record": "yes"}, "record must"),
        ({"numbers": [SALES], "port": 7}, "holds for the whole server"),
        ({"numbers": [SALES], "instructions": " "}, "instructions must not be empty"),
        ({"numbers": [SALES], "clip_language": "xx"}, "no clips in that language"),
        ({"numbers": [SALES], "transfer_targets": "sales"}, "names with numbers"),
        ({"numbers": [SALES], "version": "1"}, "version must be"),
        ({"numbers": [SALES], "version": True}, "version must be"),
        ({"numbers": [SALES], "instructions": "x" * 30_000, "greeting": "ü" * 30_000}, f"{MOST_BYTES >> 10} kB"),
        ({"numbers": [SALES], "greeting": "sk-proj-0123456789abcdef0123456789abcdef"}, "secret"),
    ],
)
def test_what_cannot_be_is_refused_whole_and_named(body: dict[str, Any], why: str, tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        assert why in await refused(the, "PUT", **body)
        assert (await done(the, "GET", "/api/profiles"))["profiles"] == []
        await done(the, "PUT", numbers=[SALES], voice="cedar")
        if "numbers" in body:
            assert why in await refused(the, "PATCH", **body)
        assert (await done(the, "GET"))["version"] == 1

    play(tmp_path, main, token=TOKEN)


def test_text_that_no_file_can_hold_is_refused(tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        body = f'{{"numbers": ["{SALES}"], "greeting": "\\ud800"}}'.encode()
        answer = await the.send("PUT", URL, body)
        assert answer.status == 400, answer.json()

    play(tmp_path, main, token=TOKEN)


@pytest.mark.parametrize(
    ("name", "why"), [("default", "/api/session"), (" ", "without spaces"), ("a\nb", "printable"), ("x" * 65, "64")]
)
def test_a_name_that_cannot_be(name: str, why: str, tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        assert why in await refused(the, "PUT", f"/api/profiles/{name}", numbers=[SALES])

    play(tmp_path, main, token=TOKEN)


def test_only_so_many_profiles_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(the: Stage) -> None:
        monkeypatch.setattr("callflow.config.kept_profiles.MOST_PROFILES", 2)
        await done(the, "PUT", "/api/profiles/one", numbers=[SALES])
        await done(the, "PUT", "/api/profiles/two", numbers=[DESK])
        assert "2 profiles at most" in await refused(the, "PUT", "/api/profiles/three", numbers=[OTHER])
        await done(the, "PATCH", "/api/profiles/two", voice="cedar")

    play(tmp_path, main, token=TOKEN)


@pytest.mark.exhaustive
def test_only_so_many_versions_are_kept_and_the_oldest_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(the: Stage) -> None:
        monkeypatch.setattr("callflow.history.setting_versions.MOST_VERSIONS", 3)
        for each in range(5):
            await done(the, "PUT", numbers=[SALES], speed=1 + each / 10)
        told = (await done(the, "GET", f"{URL}/versions"))["versions"]
        assert [(one["version"], one["changes"]) for one in told] == [(5, ["speed"]), (4, ["speed"]), (3, None)]

    assert MOST_VERSIONS == 100
    play(tmp_path, main, token=TOKEN)


def test_it_costs_money_so_it_needs_the_token_on_this_machine_as_well(tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        body = json.dumps({"numbers": [SALES]}).encode()
        for method, path in (
            ("PUT", URL), ("PATCH", URL), ("DELETE", URL), ("POST", f"{URL}/versions/1/restore"), ("PUT", f"/{URL}"),
        ):  # fmt: skip
            answer = await the.send(method, path, body)
            assert (answer.status, "CONSOLE_TOKEN=" in answer.json()["error"]) == (401, True), method
        assert (await the.get("/api/profiles")).status == 200

    play(tmp_path, main)


def test_without_the_database_nothing_is_changed(tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        for method in ("PUT", "PATCH", "DELETE"):
            assert (await the.send(method, URL, b'{"version": 0}')).status == 503
        told = (await the.get("/api/profiles")).json()
        assert any("not known" in line for line in told["warnings"])

    play(tmp_path, main, opened=False, token=TOKEN)


# Beside settings.toml

FILE = f"""
speed = 0.9
[profiles.sales]
numbers = ["{SALES}"]
voice = "ash"
record = true
[profiles.desk]
numbers = ["{DESK}"]
"""


def test_the_databases_wins_whole_and_it_is_said(tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        await the.profiles.load()
        assert (await done(the, "GET"))["origin"] == "file"
        assert (await done(the, "GET"))["settings"]["voice"]["origin"] == "settings.toml, profile sales"
        assert "settings.toml only" in await refused(the, "DELETE", status=409)
        told = await done(the, "PUT", numbers=[OTHER], voice="cedar")
        assert told["origin"] == "both"
        assert told["settings"]["record"]["value"] is False, "it is no mixture"
        (line,) = told["warnings"]
        assert line.startswith("settings.toml, profile sales is not used, because the database has")
        assert line in the.configs.warnings
        assert (the.configs.config(OTHER).profile, the.configs.config(SALES).profile) == ("sales", "")
        assert "belongs to profile desk already" in await refused(the, "PATCH", numbers=[DESK])
        await done(the, "DELETE")
        assert (the.configs.config(SALES).record, the.configs.config(OTHER).profile) == (True, "")

    play(tmp_path, main, token=TOKEN, settings=in_file(tmp_path, FILE))


def test_the_first_change_of_a_profile_of_the_file_begins_with_what_it_has_there(tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        told = await done(the, "PATCH", voice="verse")
        assert (told["origin"], told["numbers"]) == ("both", [SALES])
        assert told["kept"] == {"voice": "verse", "record": True}

    play(tmp_path, main, token=TOKEN, settings=in_file(tmp_path, FILE))


def test_what_is_in_the_database_and_cannot_be_used_any_more_is_told_and_the_rest_holds(tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        store = the.profiles._store
        rows = {"numbers": json.dumps([SALES, DESK]), "voice": '"cedar"', "of_next_year": "1", "speed": "99"}
        await store.put("mixed", rows, by="somebody", seen=0)
        await store.put("empty", {"numbers": "{", "speed": "1.1"} | {"numbers": "[]"}, by="somebody", seen=1)
        await store.put("mute", {"numbers": json.dumps([OTHER]), "clip_language": '"xx"'}, by="somebody", seen=2)
        await the.profiles.load()
        assert the.configs.config(SALES).profile == "mixed", "of the file's that has the number, too, it wins"
        assert the.configs.config(OTHER).profile == ""
        told = {one["name"]: one for one in (await done(the, "GET", "/api/profiles"))["profiles"]}
        assert set(told) == {"mixed", "empty", "mute", "sales", "desk"}
        lines = "\n".join(told["mixed"]["warnings"])
        for part in ("of_next_year", "speed", f"{DESK} belongs to profile desk already"):
            assert part in lines, part
        assert any("numbers must list" in line for line in told["empty"]["warnings"])
        assert any(line == "profile mute of the database is not used" for line in told["mute"]["warnings"])
        assert (await done(the, "GET", "/api/profiles/mute"))["kept"] == {"clip_language": "xx"}

    play(tmp_path, main, token=TOKEN, settings=in_file(tmp_path, FILE))
