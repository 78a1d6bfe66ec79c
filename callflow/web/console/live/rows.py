"""One live call as a row of the wall. Everything in it is read where it is known; nothing is decided here."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from callflow.agent.conversation import SPEAKING
from callflow.call import machine
from callflow.call.call import Call
from callflow.call.line_requests import shown


Costs = Callable[[Call], tuple[float | None, float | None]]
"""What `Budget.live_costs` returns."""
NO_COST: Final = (None, None)
_WITH_A_PERSON: Final = (machine.TRANSFERRING, machine.BRIDGED)
"""The audio goes past us then: its stream has ended, as it should."""
_SPEAKS: Final = {(True, True): "both", (True, False): "caller", (False, True): "agent", (False, False): ""}


def row(call: Call, cost: tuple[float | None, float | None], answered: float | None) -> dict[str, Any]:
    """Return the row of a call. `cost`: so far and at most, in US dollars. `answered`: when, in Unix seconds."""
    agent, (dollars, ceiling) = call.agent, cost
    is_flowing = call.relay.is_flowing
    speaks = is_flowing and agent.turns.taking.caller_speaking, is_flowing and agent.conversation.state == SPEAKING
    waits = agent.turns.latency.turns
    return {
        "id": call.id,
        "carrier": call.carrier.name,
        "direction": call.direction,
        "from": call.from_number,
        "to": call.to_number,
        "profile": call.config.profile,
        "business": call.config.business,
        "state": call.model.state,
        "began": call.began,
        "answered": answered,
        "speaking": _SPEAKS[speaks],
        "latency_ms": waits[-1]["total_ms"] if waits else None,
        "cost": None if dollars is None else {"dollars": round(dollars, 4), "ceiling": _rounded(ceiling)},
        "warnings": warnings(call),
        **({"remote": True} if call.relay.is_remote else {}),
    }


def _rounded(ceiling: float | None) -> float | None:
    return None if ceiling is None else round(ceiling, 2)


def answered_at(call: Call, now: float) -> float | None:
    """Return when a call was answered; None: not yet. `now`: Unix time, all in seconds."""
    if call.answered_before is not None:
        return call.answered_before
    here = call.relay.answered_at
    return None if here is None else round(now - (asyncio.get_running_loop().time() - here), 3)


def warnings(call: Call) -> list[str]:
    """Return what an operator should know of a call, a sentence each."""
    model, agent, line = call.model, call.agent, call.requests.line
    if model.state == machine.HANGUP:
        return []
    if call.awaits_return:
        return ["The server was restarted, and the carrier has not said yet whether the call is still there."]
    found = []
    if call.relay.is_remote and model.state == machine.RECOVERING:
        found.append("The session beside the call is lost; caller and model talk on, and it is being opened again.")
    elif model.state == machine.RECOVERING or (model.media == "lost" and model.state not in _WITH_A_PERSON):
        found.append("The carrier's audio stream is lost; another one is awaited.")
    if model.engine == "lost" and "bridged" in model.armed:  # no session is opened while a person has the caller
        found.append("The model is away, and is asked for again when the caller is given back.")
    elif model.engine == "lost" and not call.relay.is_remote:
        found.append("The model's session is lost, and no other one is opened: the caller hears a last sentence.")
    elif model.engine == "connecting" and model.tries and not call.relay.is_remote:
        found.append("The model's session is lost; another one is being opened.")
    elif agent.turns.is_filling:
        found.append("The caller waits for an answer, and hears a filler meanwhile.")
    if agent.no_input.asked:
        found.append(f"The caller has said nothing so far, and was asked {_times(agent.no_input.asked)}.")
    if line.is_on_hold:
        found.append("The caller is on hold.")
    if line.taken_by:
        found.append(f"{shown(line.taken_by)} speaks with the caller in place of the agent.")
    found += [f"The {party} is muted." for party in line.muted if not (line.taken_by and party == "agent")]
    if call.recordings.pause.is_on:
        found.append("The recording is paused: no words are written down.")
    return found


def _times(count: int) -> str:
    return "once" if count == 1 else "twice" if count == 2 else f"{count} times"
