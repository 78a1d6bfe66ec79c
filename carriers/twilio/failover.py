"""What Twilio does when our server does not answer: the fallback URL of a number, and a document that needs no server.

Facts from Twilio's documentation (www.twilio.com/docs/phone-numbers/api/incomingphonenumber-resource,
/docs/voice/twiml/dial):

- When a document cannot be had or executed, the first one or a later one of the call, Twilio asks the number's
  VoiceFallbackUrl. Without one it says that an application error has occurred, and hangs up.
- A number's TrunkSid overrides its URLs, and so does its VoiceApplicationSid.
- Any URL that answers with TwiML will do, so a file on a web server, too; that is asked by GET.
- The verbs behind a `<Dial>` without `action` follow when nobody has answered, or when the person has hung up.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from callflow.contracts.failover import Failover, FailoverPlan, Provision
from callflow.contracts.numbers import Part, Value
from carriers.twilio.numbers import TwilioNumbers
from carriers.twilio.twiml import Document, Voice


_FIELDS: Final = {"VoiceFallbackUrl": "voice_fallback_url", "VoiceFallbackMethod": "voice_fallback_method"}
_HOST_IT: Final = (
    "Twilio rings nobody by itself: put the document that `python server.py provision --twiml` prints on any web server"
    " but this one, and its address into FAILOVER_URL."
)


class TwilioFailover:
    """The account's failover, as a `callflow.contracts.failover.FailoverAccount`."""

    def __init__(self, numbers: TwilioNumbers, *, path: str) -> None:
        """`path`: where a Callflow is asked in place of another one."""
        self._numbers, self._path = numbers, path

    async def plan(self, wanted: Failover) -> FailoverPlan:
        """Look up what is set, and what has to be changed. Raises CarrierError."""
        if not wanted.url:
            return FailoverPlan((), (_HOST_IT,))
        after: dict[str, Value] = {
            "VoiceFallbackUrl": f"{wanted.url}{self._path}" if wanted.is_server else wanted.url,
            "VoiceFallbackMethod": "POST" if wanted.is_server else "GET",
        }
        provisions, notes = list[Provision](), list[str]()
        for own, one in await self._numbers.found(wanted.address):
            if own.is_here:
                part = Part(f"number/{own.id}", _values(one), after)
                provisions.append(Provision("twilio", f"number {own.number}", part))
            elif own.overrides:
                notes.append(f"{own.number} is left alone: {', '.join(own.overrides)}.")
        if not provisions:
            notes.append("No number of Twilio's leads here: `python server.py numbers point NUMBER` points one here.")
        return FailoverPlan(tuple(provisions), tuple(notes))

    async def values(self, part: Part) -> Mapping[str, Value]:
        """Return what the fields of a number hold now. Raises CarrierError."""
        return _values(await self._numbers.get(part.resource))

    async def change(self, resource: str, values: Mapping[str, Value]) -> None:
        """Change a number. Raises CarrierError."""
        await self._numbers.change(resource, values)


def document(text: str, number: str, goodbye: str, voice: Voice) -> str:
    """Return a document that says a text and rings a number. It needs no server, so it may be a file. `number` "": it
    only says the text. `goodbye`: what is said when nobody takes the call, or the person has hung up."""
    made = Document("", voice).say(text)
    if number:
        made.ring(number).say(goodbye)
    return made.hang_up().text()


def _values(one: Mapping[str, object]) -> dict[str, Value]:
    found = {name: one.get(field) for name, field in _FIELDS.items()}
    return {name: value if isinstance(value, str) else "" for name, value in found.items()}
