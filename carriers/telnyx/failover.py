"""What Telnyx does when our server does not answer: a second URL for webhooks, a number that calls are forwarded to.

Facts from Telnyx's documentation (developers.telnyx.com, Call Control applications, Phone numbers, Receiving webhooks):

- A webhook that nobody takes at `webhook_event_url`, after its repetitions, goes to `webhook_event_failover_url`. Only
  a server can do something with it: each command is a request of its own.
- A number's voice settings have `call_forwarding`, with `forwarding_type` `always` or `on-failure`; without
  `forwards_to` it has no effect. What counts as a failure is not said.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from callflow.contracts.failover import Failover, FailoverPlan, Provision
from callflow.contracts.numbers import Part, Value
from carriers.common.http_client import Api
from carriers.telnyx.numbers import LONGEST, Resource, TelnyxNumbers, id_of
from carriers.telnyx.webhooks import text


_FAILOVER: Final = "webhook_event_failover_url"
_NO_DOCUMENT: Final = (
    "Telnyx cannot play a document: for calls to Telnyx, FAILOVER_URL must be a second Callflow (scheme and host only),"
    " or FALLBACK_NUMBER a number to which they are forwarded."
)


class TelnyxFailover:
    """The account's failover, as a `callflow.contracts.failover.FailoverAccount`."""

    def __init__(self, api: Api, numbers: TelnyxNumbers, *, path: str) -> None:
        """`path`: where a Callflow takes webhooks."""
        self._api, self._numbers, self._path = api, numbers, path

    async def plan(self, wanted: Failover) -> FailoverPlan:
        """Look up what is set, and what has to be changed. Raises CarrierError."""
        ours = await self._numbers.our_application(wanted.address)
        provisions, notes = list[Provision](), list[str]()
        if wanted.is_server:
            part = Part(f"application/{id_of(ours)}", _of_application(ours), {_FAILOVER: f"{wanted.url}{self._path}"})
            provisions.append(Provision("telnyx", f"application “{text(ours, 'application_name')}”", part))
        elif wanted.url:
            notes.append(_NO_DOCUMENT)
        params = {"filter[connection_id]": id_of(ours)}
        async for one in self._numbers.pages("number", params):
            number = text(one, "phone_number", 32)
            if not (to := wanted.number(number)):
                continue
            before = await self._forwarding(id_of(one))
            after: dict[str, Value] = {
                "forwards_to": to, "forwarding_type": "on-failure", "call_forwarding_enabled": True,
            }  # fmt: skip
            if number == to:
                notes.append(f"{number} is FALLBACK_NUMBER itself, so it is not forwarded.")
            elif before["forwarding_type"] == "always" and before["call_forwarding_enabled"]:
                notes.append(f"{number} is always forwarded to {before['forwards_to']}, so it is left alone.")
            else:
                part = Part(f"voice/{id_of(one)}", before, after)
                provisions.append(Provision("telnyx", f"number {number}", part))
        return FailoverPlan(tuple(provisions), tuple(notes))

    async def values(self, part: Part) -> Mapping[str, Value]:
        """Return what the fields of an application or a number's voice settings hold now. Raises CarrierError."""
        if part.resource.startswith("voice/"):
            return await self._forwarding(part.resource.removeprefix("voice/"))
        return _of_application(await self._numbers.get(part.resource))

    async def change(self, resource: str, values: Mapping[str, Value]) -> None:
        """Change an application, or the forwarding of a number. Raises CarrierError."""
        if resource.startswith("voice/"):
            # Without a number to forward to, the kind of forwarding has no effect, and cannot be taken away.
            forwarding = {name: value for name, value in values.items() if (name, value) != ("forwarding_type", "")}
            path = _voice(resource.removeprefix("voice/"))
            await self._api.request("PATCH", path, json={"call_forwarding": forwarding})
        else:
            await self._numbers.change(resource, {name: value or None for name, value in values.items()})

    async def _forwarding(self, number_id: str) -> dict[str, Value]:
        answer = await self._api.request("GET", _voice(number_id), retries=1)
        found: Any = answer.get("data") if isinstance(answer, dict) else None
        held: Any = found.get("call_forwarding") if isinstance(found, dict) else None
        forwarding: Resource = held if isinstance(held, dict) else {}
        to = text(forwarding, "forwards_to", 64)
        return {
            "forwards_to": to,
            "forwarding_type": text(forwarding, "forwarding_type") if to else "",
            "call_forwarding_enabled": forwarding.get("call_forwarding_enabled") is not False,
        }


def _of_application(one: Resource) -> dict[str, Value]:
    return {_FAILOVER: text(one, _FAILOVER, LONGEST)}


def _voice(number_id: str) -> str:
    return f"/phone_numbers/{quote(number_id, safe='')}/voice"
