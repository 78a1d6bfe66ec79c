"""Whether our numbers still lead here, as the carriers say."""

from __future__ import annotations

import asyncio

from callflow.contracts.diagnostics import Finding
from callflow.contracts.numbers import OwnNumber, Pointed
from callflow.switchboard.health.numbers import EVERY_SECONDS, FAILOVER_SECONDS, SEEN_SECONDS, NumberWatch, judged
from callflow.switchboard.number_service import Listing


def number(last: int, *, here: bool = True, overrides: tuple[str, ...] = (), lacks: tuple[str, ...] = ()) -> OwnNumber:
    url = "https://here.example/" if here else "https://there.example/"
    return OwnNumber("twilio", f"PN{last}", f"+1555010000{last}", "", url, here, overrides, lacks)


def pointed(last: int, *, temporary: bool = False) -> Pointed:
    return Pointed("twilio", f"+1555010000{last}", "https://here.example", (), 1.0, temporary)


def told(listing: Listing) -> list[tuple[str, str]]:
    return [(one.name, one.state) for one in judged(listing)]


def test_what_was_pointed_here_and_leads_elsewhere_is_wrong() -> None:
    trunk = ("its trunk TK1 overrides its webhook",)
    rows = [
        (number(1), pointed(1)), (number(2, here=False, overrides=trunk), pointed(2)),
        (number(3, here=False), pointed(3, temporary=True)), (number(4, here=False), None),
        (number(5, lacks=("the end of a call is not told",)), None),
    ]  # fmt: skip
    assert told(Listing(rows, ())) == [
        ("number +15550100002", "wrong"), ("number +15550100005", "note"), ("numbers", "ok"),
    ]  # fmt: skip
    (wrong,) = [one for one in judged(Listing(rows, ())) if one.state == "wrong"]
    assert trunk[0] in wrong.what
    assert told(Listing([(number(4, here=False), None)], ())) == [("numbers", "note")]
    assert told(Listing([], ("twilio does not answer in time.",))) == [("carrier account", "wrong")]
    assert told(Listing([], ())) == [("numbers", "note")]


def test_carriers_are_asked_seldom() -> None:
    async def main() -> None:
        now, asked = [0.0], list[float]()

        async def listed() -> Listing:
            asked.append(now[0])
            return Listing([], ())

        watch = NumberWatch(listed, lambda: now[0])
        for now[0], is_watched in (
            (0, False), (59, False), (60, False), (61, True), (60 + SEEN_SECONDS, True), (61 + SEEN_SECONDS, False),
            (60 + EVERY_SECONDS, False), (61 + SEEN_SECONDS + EVERY_SECONDS, False),
        ):  # fmt: skip
            watch.look(is_watched=is_watched)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        assert asked == [60, 60 + SEEN_SECONDS, 61 + SEEN_SECONDS + EVERY_SECONDS]
        assert [one.name for one in watch.findings] == ["numbers"]

    asyncio.run(main())


async def test_what_carriers_were_never_told_about_a_server_that_is_down_is_found_and_asked_for_once_an_hour() -> None:
    now, asked, state = [0.0], list[float](), ["wrong"]

    async def listed() -> Listing:
        return Listing([], ())

    async def told() -> list[Finding]:
        asked.append(now[0])
        return [Finding("failover", "wrong" if state == ["wrong"] else "ok", "they were not told")]

    watch = NumberWatch(listed, lambda: now[0], told)

    async def look(at: float, *, is_watched: bool = False) -> list[str]:
        now[0] = at
        watch.look(is_watched=is_watched)
        while watch._task is not None:  # noqa: ASYNC110 - it is at its end in a moment
            await asyncio.sleep(0)
        return [one.state for one in watch.findings if one.about == "failover"]

    assert await look(60) == ["wrong"]
    assert await look(60 + EVERY_SECONDS) == ["wrong"], "it is kept meanwhile"
    state[0] = "ok"
    assert await look(60 + EVERY_SECONDS + SEEN_SECONDS, is_watched=True) == ["ok"]
    assert await look(60 + 2 * EVERY_SECONDS + SEEN_SECONDS) == ["ok"]
    assert await look(60 + EVERY_SECONDS + SEEN_SECONDS + FAILOVER_SECONDS) == ["ok"]
    assert asked == [60, 1260, 1260 + FAILOVER_SECONDS]
