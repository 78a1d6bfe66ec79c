"""The doctor's process: its findings come as they are made, one run at a time, and none lasts for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from callflow.contracts.diagnostics import Finding
from callflow.contracts.secret_text import NOT_SHOWN, Secrets
from callflow.switchboard.health.doctor import Doctor


_TELL = """
import json, sys, time
asked = sys.stdin.read()
print(json.dumps({"about": "a", "state": "wrong", "what": asked, "remedy": "", "key": ""}), flush=True)
print(json.dumps({"about": "b", "state": "note", "what": "opensesame12"}), flush=True)
"""


class Patient:
    def __init__(self, code: str, seconds: float = 30.0) -> None:
        self.told: list[Sequence[Finding]] = []
        self.doctor = Doctor(
            lambda: b"the settings", self.told.append, lambda: Secrets(["opensesame12"]),
            command=("-c", _TELL + code), seconds=seconds,
        )  # fmt: skip

    async def until(self, state: str, count: int) -> None:
        async with asyncio.timeout(20):
            while (told := self.doctor.describe())["state"] != state or len(told["findings"]) < count:  # noqa: ASYNC110
                await asyncio.sleep(0.01)


@pytest.mark.process
def test_its_findings_come_one_after_another_and_hold_no_secret() -> None:
    async def main() -> None:
        one = Patient("time.sleep(0.3)")
        assert one.doctor.describe()["state"] == "never"
        assert one.doctor.start("ada")
        assert not one.doctor.start("eve"), "it is at work"
        await one.until("running", 2)
        await one.until("done", 2)
        told = one.doctor.describe()
        assert [(each["about"], each["what"]) for each in told["findings"]] == [("a", "the settings"), ("b", NOT_SHOWN)]
        assert (told["by"], told["why"], len(one.told)) == ("ada", "", 1)
        assert one.doctor.start("eve")
        await one.until("done", 2)
        assert len(one.told) == 2

    asyncio.run(main())


@pytest.mark.process
def test_it_ends_with_its_time_with_the_server_and_with_a_fault() -> None:
    async def main() -> None:
        slow, left, broken = Patient("time.sleep(60)", 1.0), Patient("time.sleep(60)"), Patient("sys.exit(3)")
        for one in (slow, left, broken):
            one.doctor.start("ada")
        await left.until("running", 1)
        left.doctor.close()
        for one in (slow, left, broken):
            await one.until("failed", 0)
        assert "in time" in slow.doctor.describe()["why"]
        assert "internal error" in broken.doctor.describe()["why"]
        assert slow.told == left.told == broken.told == []
        assert not left.doctor.start("ada"), "the server has ended"

    asyncio.run(main())
