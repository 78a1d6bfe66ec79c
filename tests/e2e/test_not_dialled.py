"""Numbers that are not dialled: nothing reaches the carrier, and whoever asked is told why."""

from __future__ import annotations

import pytest

from tests.e2e.outbound import THEIRS, ask, dial, dialled, dialling, dials


CARRIERS = ("telnyx", "twilio")
SAMPLED = True
LIST = "/api/do-not-call"


async def test_a_number_on_the_do_not_call_list_is_not_dialled_until_it_is_off() -> None:
    async with dialling() as the:
        assert (await ask(the, "POST", LIST, {"number": THEIRS})).status_code == 201
        for key in ("", "order-1"):
            answer = await dial(the, key=key)
            assert (answer.status_code, "do-not-call list" in answer.json()["error"]) == (403, True)
        assert (dials(the), the.app.switchboard.calls) == ([], [])
        assert (await ask(the, "DELETE", f"{LIST}/{THEIRS}")).status_code == 200
        await dialled(the)
        await the.carrier_call().wait_streaming()
        await the.carrier_call().hang_up()
        await the.quiet()
        assert len(dials(the)) == 1


@pytest.mark.parametrize(
    ("number", "says"),
    [
        ("+1911", "Emergency"), ("+44999", "Emergency"), ("+49112", "Emergency"), ("+490112", "Emergency"),
        ("+19115550100", "Emergency"), ("+112", "Emergency"), ("+19002345678", "premium rate"),
        ("+881612345678", "DIAL_ALLOW"), ("+441214960100", "DIAL_ALLOW"), ("+15550200001", "DIAL_DENY"),
        ("+1555010000", "fewer digits"),
    ],
)  # fmt: skip
async def test_what_the_rules_do_not_allow_is_not_dialled(number: str, says: str) -> None:
    async with dialling(dial_allow="+1", dial_deny="+1555020") as the:
        answer = await dial(the, toNumber=number)
        assert (answer.status_code, says in answer.json()["error"]) == (403, True), answer.text
        assert (dials(the), the.app.switchboard.calls) == ([], [])
