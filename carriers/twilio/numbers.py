"""The numbers of a Twilio account, and where their calls go.

Facts from Twilio's documentation (www.twilio.com/docs/phone-numbers/api/incomingphonenumber-resource):

- A number's TrunkSid overrides all of its voice URLs, its VoiceApplicationSid overrides its VoiceUrl. An empty value
  takes either away; setting one of the two takes the other away.
- The end of an inbound call is told only to the number's StatusCallback.
- Lists come in pages of at most 1,000; `next_page_uri` leads on, and is null at the end.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import parse_qsl, quote, urlsplit

from callflow.contracts import addresses
from callflow.contracts.errors import CarrierError
from callflow.contracts.numbers import OwnNumber, Part, PointingPlan, Value
from carriers.common.http_client import Api


_LIST: Final = "/IncomingPhoneNumbers.json"
_PAGE: Final = 500
_MOST_PAGES: Final = 400
_FIELDS: Final = {
    "VoiceUrl": "voice_url",
    "VoiceMethod": "voice_method",
    "StatusCallback": "status_callback",
    "StatusCallbackMethod": "status_callback_method",
    "VoiceApplicationSid": "voice_application_sid",
    "TrunkSid": "trunk_sid",
}
"""The parameters that are set, and the fields that tell what they hold."""

Resource = Mapping[str, Any]


class TwilioNumbers:
    """The account's numbers, as a `callflow.contracts.numbers.NumberAccount`."""

    def __init__(self, api: Api, *, voice: Sequence[str], status: str) -> None:
        """`voice`: the paths of this server that a VoiceUrl may have; the first one is set. `status`: the path of its
        StatusCallback."""
        self._api = api
        self._voice, self._status = tuple(voice), status

    async def list_numbers(self, address: str) -> list[OwnNumber]:
        """List all numbers. Raises CarrierError."""
        return [own for own, _ in await self.found(address)]

    async def found(self, address: str) -> list[tuple[OwnNumber, Resource]]:
        """List all numbers, each with its resource. Raises CarrierError."""
        return [(self._own(one, address), one) async for one in self._pages({})]

    async def get(self, resource: str) -> Resource:
        """Return a number's resource: `number/PN0…`. Raises CarrierError."""
        found = await self._api.request("GET", _path(resource), retries=1)
        if not isinstance(found, dict):
            raise CarrierError("Twilio's answer says nothing")
        return found

    async def plan(self, number: str, address: str) -> PointingPlan | None:
        """Look up what has to be changed so that the calls of a number come to `address`. Raises CarrierError."""
        params = {"PhoneNumber": number}  # also finds numbers that contain these digits
        found = [one async for one in self._pages(params) if one.get("phone_number") == number]
        if not found:
            return None
        before = _values(found[0])
        wanted: dict[str, Value] = {
            "VoiceUrl": f"{address}{self._voice[0]}",
            "VoiceMethod": "POST",
            "StatusCallback": f"{address}{self._status}",
            "StatusCallbackMethod": "POST",
            "VoiceApplicationSid": "",
            "TrunkSid": "",
        }
        if self._is_here(before["VoiceUrl"], address):
            wanted["VoiceUrl"] = before["VoiceUrl"]
        if addresses.place(before["StatusCallback"]) == wanted["StatusCallback"]:
            wanted["StatusCallback"] = before["StatusCallback"]
        consequences = []
        if trunk := before["TrunkSid"]:
            consequences.append(f"it is taken out of the trunk {trunk}")
        if application := before["VoiceApplicationSid"]:
            consequences.append(f"it is taken away from the TwiML app {application}")
        part = Part(f"number/{_text(found[0], 'sid')}", before, wanted)
        return PointingPlan(self._own(found[0], address), address, (part,), tuple(consequences))

    async def values(self, part: Part) -> Mapping[str, Value]:
        """Return what the fields of a number hold now. Raises CarrierError."""
        return dict(_values(await self.get(part.resource)))

    async def change(self, resource: str, values: Mapping[str, Value]) -> None:
        """Change a number. Raises CarrierError."""
        await self._api.request("POST", _path(resource), data={name: str(value) for name, value in values.items()})

    async def release(self, number_id: str) -> None:
        """Give a number back. Raises CarrierError; sent once only, because a second answer would say 404."""
        await self._api.request("DELETE", _path(f"number/{number_id}"), repeatable=False)

    def _is_here(self, url: str, address: str) -> bool:
        """A query may lead calls to SIP, a fragment has Twilio's connection overrides: both are no other place."""
        return bool(address) and addresses.place(url) in {address, *(f"{address}{path}" for path in self._voice)}

    def _own(self, one: Resource, address: str) -> OwnNumber:
        held = _values(one)
        overrides, leads_to = [], held["VoiceUrl"]
        if application := held["VoiceApplicationSid"]:
            leads_to = f"TwiML app {application}"
            overrides.append(f"its TwiML app {application} overrides its webhook")
        if trunk := held["TrunkSid"]:
            leads_to = f"trunk {trunk}"
            overrides.append(f"its trunk {trunk} overrides its webhook")
        is_here = not overrides and self._is_here(held["VoiceUrl"], address)
        lacks = []
        if is_here and addresses.place(held["StatusCallback"]) != f"{address}{self._status}":
            lacks.append("its StatusCallback does not lead here, so the end of a call is heard of late")
        capabilities = one.get("capabilities")
        if isinstance(capabilities, dict) and capabilities.get("voice") is False:
            lacks.append("it cannot be called: it has no voice")
        number, name = _text(one, "phone_number"), _text(one, "friendly_name")
        return OwnNumber("twilio", _text(one, "sid"), number, name, leads_to, is_here, tuple(overrides), tuple(lacks))

    async def _pages(self, params: Mapping[str, str]) -> AsyncIterator[Resource]:
        """Yield the numbers, page by page to the end of the list. Raises CarrierError."""
        asked: dict[str, str] = {**params, "PageSize": str(_PAGE)}
        for _ in range(_MOST_PAGES):
            answer = await self._api.request("GET", _LIST, params=asked, retries=1)
            found = answer.get("incoming_phone_numbers") if isinstance(answer, dict) else None
            if not isinstance(found, list):
                raise CarrierError("Twilio's answer holds no list")
            for one in found:
                if isinstance(one, dict):
                    yield one
            following = answer.get("next_page_uri")
            if not following or not isinstance(following, str):
                return
            # Only its query is followed, so that no answer sends our keys to another address.
            asked = dict(parse_qsl(urlsplit(following).query))
        raise CarrierError(f"Twilio's list has more than {_MOST_PAGES} pages")


def _values(one: Resource) -> dict[str, str]:
    return {name: _text(one, field) for name, field in _FIELDS.items()}


def _text(one: Resource, name: str) -> str:
    value = one.get(name)
    return value if isinstance(value, str) else ""


def _path(resource: str) -> str:
    return f"/IncomingPhoneNumbers/{quote(resource.removeprefix('number/'), safe='')}.json"
