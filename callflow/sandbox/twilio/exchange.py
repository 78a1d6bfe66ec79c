"""The exchange of the emulated Twilio: the account, its numbers, its webhooks, and its calls."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace

from callflow.sandbox.common import exchange
from callflow.sandbox.common.exchange import CallT
from callflow.sandbox.twilio.dial_verb import Dial
from callflow.sandbox.twilio.faults import Faults, Timing
from callflow.sandbox.twilio.webhooks import Signer, Webhooks


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


@dataclass(slots=True)
class Account:
    """What the account may do."""

    trial: bool = False
    """It may dial `verified` numbers only (21219)."""
    verified: list[str] = field(default_factory=list)
    refused: dict[str, int] = field(default_factory=dict)
    """The code with which a call is refused, by the beginning of the number that it is to: 21214 (unreachable), 21215
    (a country that is not enabled), 21216 (blocked), 21217 (not valid)."""
    calls_per_second: float | None = None
    """How often a call is begun; the others are queued. Twilio docs: 1. None: at once."""
    calls_at_once: int | None = None
    """How many outgoing calls there may be before one more is refused (20429)."""
    applications: dict[str, str] = field(default_factory=dict)
    """The TwiML applications: the VoiceUrl of each, by its sid."""


class Exchange(exchange.Exchange[CallT, Faults]):
    """What all calls share.

    Args:
        api_key: id and secret of an API key, which the REST API accepts beside the account's own credentials.
        server: where requests to the application's public address are sent, such as "http://127.0.0.1:6000".
    """

    webhooks: Webhooks
    dial: Callable[[CallT, Dial, str], Awaitable[dict[str, str] | None]]
    """Runs a `<Dial>` of a call and returns what its `action` is told; None: there is nothing to tell. The text is the
    URL of the document."""

    def __init__(
        self,
        account_sid: str,
        auth_token: str,
        api_key: tuple[str, str],
        faults: Faults,
        timing: Timing,
        server: str = "",
        other_accounts: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__("twilio", faults)
        self.other_accounts = other_accounts or {}
        """Auth tokens of further accounts, by their SIDs."""
        self.account_sid = account_sid
        self.auth_token = auth_token
        self.api_key = api_key
        self.timing = timing
        self.account = Account()
        self.numbers: dict[str, Number] = {}
        """By E.164 number."""
        self.trunks: set[str] = set()
        """SIDs."""
        self.default_number = Number("")
        """The settings of a number that is used for the first time."""
        signer = Signer(auth_token, accounts=self.other_accounts)
        self.webhooks = Webhooks(self.tasks, signer, timing, self.changed, server)

    @property
    def signer(self) -> Signer:
        """Signs requests as the carrier does."""
        return self.webhooks.signer

    def number(self, phone_number: str) -> Number:
        """Return a number of the account; it is made when it is asked for the first time."""
        if phone_number not in self.numbers:
            self.numbers[phone_number] = replace(
                self.default_number,
                phone_number=phone_number,
                friendly_name=phone_number,
                sid="PN" + secrets.token_hex(16),
            )
        return self.numbers[phone_number]
