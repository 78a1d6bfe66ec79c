"""What all calls of an emulated Twilio share: the account, its numbers, its lines."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from callflow.sandbox.common.http_server import Tasks
from callflow.sandbox.common.pacer import Pacer, Signal
from callflow.sandbox.common.phone import Phone
from callflow.sandbox.twilio.faults import Faults, Timing
from callflow.sandbox.twilio.webhooks import Signer, Webhooks


if TYPE_CHECKING:
    from callflow.sandbox.twilio.call import Call


@dataclass(slots=True)
class Number:
    """A phone number of the account. A trunk overrides all its URLs, an application its VoiceUrl."""

    phone_number: str
    voice_url: str = ""
    voice_method: str = "POST"
    voice_fallback_url: str = ""
    voice_fallback_method: str = "POST"
    status_callback: str = ""
    status_callback_method: str = "POST"
    voice_application_sid: str = ""
    trunk_sid: str = ""
    friendly_name: str = ""
    sid: str = field(default_factory=lambda: "PN" + secrets.token_hex(16))


@dataclass
class Exchange:
    account_sid: str
    auth_token: str
    api_key: tuple[str, str]
    """Id and secret of an API key, which the REST API takes as well."""
    faults: Faults
    timing: Timing
    server: str = ""
    tasks: Tasks = field(default_factory=lambda: Tasks("twilio sandbox"))
    changed: Signal = field(default_factory=Signal)
    calls: dict[str, Call] = field(default_factory=dict)
    numbers: dict[str, Number] = field(default_factory=dict)
    """By E.164."""
    usual: Number = field(default_factory=lambda: Number(""))
    """What a number is set to that rings for the first time."""
    phones: dict[str, Phone] = field(default_factory=dict)
    """Telephones that can be dialled, by number; any other number gets a new one."""
    callee: str = "answers"
    """What a dialled phone does: "answers", "busy" or "no-answer"."""
    webhooks: Webhooks = field(init=False)
    pacer: Pacer = field(init=False)

    def __post_init__(self) -> None:
        self.webhooks = Webhooks(self.tasks, Signer(self.auth_token), self.timing, self.changed, self.server)
        self.pacer = Pacer(self.tasks.failures)

    @property
    def signer(self) -> Signer:
        return self.webhooks.signer

    def number(self, phone_number: str) -> Number:
        if phone_number not in self.numbers:
            self.numbers[phone_number] = replace(
                self.usual, phone_number=phone_number, friendly_name=phone_number, sid="PN" + secrets.token_hex(16)
            )
        return self.numbers[phone_number]

    def story(self) -> str:
        return "; ".join(call.story() for call in self.calls.values()) or "there was no call"
