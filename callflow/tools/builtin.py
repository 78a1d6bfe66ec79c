"""The tools of one call: those of `tools.py`, and the few that every agent has."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from callflow.contracts.errors import AskOperator
from callflow.contracts.tools import Caller, ToolAnswer, ToolCall
from callflow.tools.registry import OPERATOR_SECONDS, Tool, ToolContext, Tools, from_function


class CallToolset:
    """The tools of one call: see `callflow.contracts.tools.Toolbox`."""

    def __init__(self, tools: Tools, caller: Caller, call_actions: Mapping[str, Callable[..., Any]]) -> None:
        """`call_actions`: what the agent may do to its own call, by the name of the built-in tool."""
        self._tools = tools.plus(_built_in(call_actions)).only(caller.allowed)
        self._caller = caller
        targets = ((name, getattr(action, "targets", ())) for name, action in call_actions.items())
        can = frozenset((*targets, caller.allowed))
        if can not in tools.offered:
            tools.offered[can] = tuple(self._tools.definitions)
        self._definitions = tools.offered[can]

    @property
    def definitions(self) -> Sequence[Mapping[str, Any]]:
        """What the model is told. All calls under one version of `tools.py` share it: not to be changed."""
        return self._definitions

    @property
    def shown(self) -> Sequence[Mapping[str, Any]]:
        """Return the definitions without keys, to be shown to people."""
        return self._tools.shown

    async def run(self, call: ToolCall, seconds: float) -> ToolAnswer:
        """Run a tool within this time limit: see `Tools.run`. Raises AskOperator for one that a person answers."""
        caller, tool = self._caller, self._tools.local.get(call.name)
        if tool is not None and tool.by_operator:
            raise AskOperator(tool.seconds or OPERATOR_SECONDS)
        context = ToolContext(caller.call, caller.from_number, caller.to_number, f"{caller.call}:{call.id}")
        result = await self._tools.run(call.name, call.arguments, context, seconds=seconds)
        return ToolAnswer(result.output, result.ok)


def get_current_time(timezone: str = "") -> dict[str, str]:
    """Tell the date, the weekday and the time of day, now.

    Args:
        timezone: an IANA name such as Europe/Berlin; without it, where this line is
    """
    now = datetime.now(ZoneInfo(timezone)) if timezone else datetime.now().astimezone()
    return {
        "time": now.isoformat(timespec="seconds"),
        "weekday": now.strftime("%A"),
        "timezone": timezone or now.tzname() or "",
    }


# Each of these makes a tool out of an action on a call. The docstring of the inner function is what the model reads.


def end_call(act: Callable[[str], Any]) -> Callable[..., Any]:
    """Make the tool that ends the call. `act(reason)` requests that."""

    def end_call(reason: str = "") -> dict[str, Any]:
        """End the telephone call. Only when the caller has said goodbye or has asked to end it, and nothing is left to
        do: never because of silence, noise or an answer that is hard to understand. Say goodbye first.

        Args:
            reason: why the call ends, in a few words
        """
        act(reason)
        return {"ok": True, "note": "The call ends when your goodbye has been heard."}

    return end_call


def transfer_call(act: Callable[..., Any]) -> Callable[..., Any]:
    """Make the tool that transfers the call. `act(destination, summary)` requests that: see `TransferAction`."""

    def transfer_call(destination: str, summary: str) -> dict[str, Any]:
        """Connect the caller with a person, who is rung and told your summary before they take the call. Only when the
        caller wants it or you cannot help. You stay with the caller meanwhile, and are told how it ends.

        Args:
            destination: whom to connect the caller with
            summary: who calls and why, in two sentences, for the person who takes the call
        """
        how, why = act(destination, summary)
        if why:
            return {"error": f"That is not possible now. {why}"}
        if how == "refer":
            return {"ok": True, "note": "The caller is being connected, without you. If that fails, you will be told."}
        return {"ok": True, "note": "They are being rung. Tell the caller that it takes a moment, and stay with them."}

    return transfer_call


def pause_recording(act: Callable[[], Any]) -> Callable[..., Any]:
    """Make the tool that pauses recording and transcript. `act()` requests that, and returns whether it is possible."""

    def pause_recording() -> dict[str, Any]:
        """Pause the recording of this call, before the caller says or types a card number or anything else that must
        not be recorded. Call resume_recording when that is over.
        """
        if not act():
            return {"error": "Nothing is being recorded now."}
        return {"ok": True, "note": "The recording is paused. Ask for the number now, and do not repeat it."}

    return pause_recording


def resume_recording(act: Callable[[], Any]) -> Callable[..., Any]:
    """Make the tool that ends such a pause. `act()` requests that, and returns whether it is possible."""

    def resume_recording() -> dict[str, Any]:
        """Record the call again, after pause_recording."""
        return {"ok": True} if act() else {"error": "That is not possible now."}

    return resume_recording


def send_dtmf(act: Callable[[str], Any]) -> Callable[..., Any]:
    """Make the tool that presses keys. `act(digits)` requests that, and returns why it is not possible; "": it is."""

    def send_dtmf(digits: str) -> dict[str, Any]:
        """Press keys of the telephone keypad, for a machine at the other end, such as a menu that asks for a number.

        Args:
            digits: the keys in order: 0 to 9, * and #; w waits for half a second, W for a second
        """
        if why := act(digits):
            return {"error": why}
        return {"ok": True, "note": "The keys are being sent. Say nothing until the other end goes on."}

    return send_dtmf


def opt_out(act: Callable[[], bool]) -> Callable[..., Any]:
    """Make the tool that puts the person who was called on the do-not-call list. `act()` does that, in a thread, and
    returns whether it is done."""

    def opt_out() -> dict[str, Any]:
        """Put this person on the do-not-call list: they are never called again. When they ask not to be called any
        more, or to be taken off a list. Tell them that it is done only when this has answered so."""
        if not act():
            return {"error": "That could not be noted now: say so, and that they can tell a person."}
        return {"ok": True, "note": "This number is not called any more. Confirm it, and say goodbye."}

    return opt_out


_GET_CURRENT_TIME: Final = from_function(get_current_time)
_MAKERS: Final[dict[str, Callable[..., Callable[..., Any]]]] = {
    "end_call": end_call,
    "transfer_call": transfer_call,
    "send_dtmf": send_dtmf,
    "pause_recording": pause_recording,
    "resume_recording": resume_recording,
}
_OF_THIS_CALL: Final[dict[str, tuple[Callable[..., Any], Tool]]] = {
    name: (make, replace(from_function(make(print)), on_loop=True)) for name, make in _MAKERS.items()
}
_OF_THIS_CALL["opt_out"] = opt_out, from_function(opt_out(lambda: True))  # it waits for the database, in a thread
"""Read once; each call gets a copy with its own action."""


BUILT_IN: Final = frozenset({"get_current_time", *_OF_THIS_CALL})
"""The names of all of them; which ones a call has depends on the call."""


def _built_in(call_actions: Mapping[str, Callable[..., Any]]) -> list[Tool]:
    own = [
        _narrowed(replace(tool, function=make(call_actions[name])), getattr(call_actions[name], "targets", ()))
        for name, (make, tool) in _OF_THIS_CALL.items()
        if name in call_actions
    ]
    return [_GET_CURRENT_TIME, *own]


def _narrowed(tool: Tool, targets: Sequence[str]) -> Tool:
    """Return the tool with its destination limited to these names; without names, as it is."""
    if not targets:
        return tool
    properties = {**tool.parameters["properties"]}
    properties["destination"] = {**properties["destination"], "enum": list(targets)}
    return replace(tool, parameters={**tool.parameters, "properties": properties}, ready=None)
