"""The scenario in which the line makes the calls: a person answers, then a number is busy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import httpx

from callflow.cli.demo.story import Story
from callflow.contracts import events
from callflow.journal import notes
from callflow.sandbox import telnyx, twilio, voices
from callflow.sandbox.common.callee import Callee
from callflow.sandbox.openai_realtime.script import Call as ToolCall
from callflow.sandbox.openai_realtime.script import Say, Turn
from callflow.sandbox.telnyx.exchange import CONNECTION_ID


OURS: Final = "+15550100002"
THEIRS: Final = "+15550100001"
BUSY: Final = "+15550100003"
TOKEN: Final = "the-token-of-the-demo"
SETTINGS: Final[Mapping[str, Any]] = {
    "telnyx_connection_id": CONNECTION_ID,
    "telnyx_from_number": OURS,
    "twilio_from_number": OURS,
    "console_token": TOKEN,
}
_RING_SECONDS: Final = 2.0
OPENING: Final = "agent/calling"
_DIALS: Final = ("dial", "create")
"""What the carriers call the request that dials."""


async def begin(story: Story) -> telnyx.Call | twilio.Call:
    """Let the server dial the phone of the story, and return the leg that rings there. Raises TimeoutError."""
    return await dial(story, Callee())


async def dial(story: Story, callee: Callee, **body: Any) -> telnyx.Call | twilio.Call:
    """Do the same; `callee`: who answers. `body`: more of the request, as of `POST /api/calls`."""
    exchange = story.carrier.exchange
    if isinstance(story.carrier, twilio.Twilio):
        story.carrier.exchange.number(OURS)  # the account has it
    exchange.phones[THEIRS] = story.phone
    exchange.timing.ring_s, exchange.callee = _RING_SECONDS, callee
    story.stage.act(Turn.voice(OPENING), caller="")
    story.opening = OPENING
    calls: Mapping[str, Any] = story.carrier.calls
    before = len(calls)
    await _ask(story, "POST", "/api/calls", {"toNumber": THEIRS, "greeting": voices.TEXTS[OPENING], **body})
    await story.until(lambda: len(calls) > before, "the dial")
    leg: telnyx.Call | twilio.Call = list(calls.values())[-1]
    return leg


async def play(story: Story) -> None:
    """Let a person who is called hear the agent at once, and thank; the agent ends the call. Then a number is busy."""
    expect = story.outcome.expect
    order = [step["event"]["event"] for step in story.steps]
    answered = next((n for n, step in enumerate(story.steps) if step["after"] != "ringing"), 0)
    expect("the model was there while the phone still rang", events.EngineReady.name in order[:answered])
    turns = story.noted(notes.Turn)
    expect("the agent spoke first", turns and turns[0].who == "agent")
    bye = Turn((Say(*story.line("agent/goodbye")), ToolCall("end_call", {"reason": "done"}, "call_end")))
    await story.say("caller/thanks", bye)
    await story.call.wait_ended(story.seconds)
    expect("the agent ended the call", story.call.ended_by == "product")
    expect("its goodbye was heard to the last word", story.heard_in_full("agent/goodbye"))
    story.afterwards = lambda: _busy(story)


async def _busy(story: Story) -> None:
    """Dial a number that is busy."""
    expect = story.outcome.expect
    ended, dialled = len(story.noted(notes.Ended)), _dials(story)
    story.carrier.exchange.callee = "busy"
    told = await _ask(story, "POST", "/api/calls", {"toNumber": BUSY})
    await story.until(lambda: len(story.noted(notes.Ended)) > ended, "the end of the second call")
    await story.written()
    call = await _ask(story, "GET", str(told["url"]))
    because = str((call.get("conversation") or {}).get("ended_because", ""))
    story.tell("line", f"what became of it: {because or 'nothing is in the history'}")
    expect("of the second call it is told that the line was busy", because == "the line was busy")
    expect("each number was dialled once", (dialled, _dials(story)) == (1, 2))


def _dials(story: Story) -> int:
    """Return how often this story's numbers were dialled."""
    return sum(1 for command in story.commands if command.action in _DIALS)


async def _ask(story: Story, method: str, path: str, body: Any = None) -> dict[str, Any]:
    """Ask the operators' port. Raises ConnectionError with the server's sentence if it refuses."""
    host, port = story.console_at
    headers = {"Authorization": f"Bearer {TOKEN}"}
    try:
        async with httpx.AsyncClient(trust_env=False, timeout=story.seconds) as client:
            answer = await client.request(method, f"http://{host}:{port}{path}", json=body, headers=headers)
    except httpx.HTTPError as error:
        raise ConnectionError(f"{method} {path} was answered ({type(error).__name__})") from None
    told: dict[str, Any] = answer.json()
    if answer.status_code >= 400:
        raise ConnectionError(f"{method} {path} was taken (the server says: {told.get('error')})")
    return told
