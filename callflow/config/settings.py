"""The settings of Callflow, each with its default. Settings that may differ between calls stand, with their defaults,
in `call_settings.py`; `Settings` inherits them.

Each setting has one name: `vad_silence_ms` in `settings.toml`, `VAD_SILENCE_MS` in the environment and in `.env`. Names
that end in `_seconds` and `_ms` say their unit.

`callflow.config.loader.load()` reads them from their files; `Settings(...)` reads nothing, so that a test gets exactly
what it names. The text below each setting is its documentation, see `callflow.config.call_settings`.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PrivateAttr,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails

from callflow.config import (
    call_settings,
    control_endpoint,
    display,
    legacy_names,
    sip_settings,
    suggestions,
    validators,
)
from callflow.config.cluster_settings import ClusterSettings
from callflow.config.recording_settings import RecordingSettings
from callflow.config.setting_names import ALIASES, present
from callflow.contracts import secret_text


Port = Annotated[int, Field(ge=0, le=65535)]
Secret = Annotated[SecretStr, AfterValidator(validators.secret)]
Secrets = Annotated[SecretStr, AfterValidator(validators.secrets)]
Host = Annotated[call_settings.Text, AfterValidator(validators.host)]


class Settings(RecordingSettings, ClusterSettings, call_settings.CallSettings):
    """All settings; frozen. Here those that hold for the whole server: secrets, addresses, limits, operation."""

    # Keys and addresses of the vendors

    openai_api_key: Annotated[SecretStr, AfterValidator(validators.openai_key)] = SecretStr("")
    """The key of the OpenAI account that pays for the voice model. Needed to take calls."""
    openai_realtime_url: Annotated[str, AfterValidator(validators.websocket_url)] = "wss://api.openai.com/v1/realtime"
    """The address of the model's WebSocket; it may already hold a query such as `?model=…`. Beside `openai_api_base`,
    if only that is set."""
    openai_api_base: Annotated[str, AfterValidator(validators.empty_or_api_base)] = ""
    """The address of OpenAI's REST API, with its path `/v1`. Empty: beside `openai_realtime_url`."""
    openai_live_url: Annotated[str, AfterValidator(validators.websocket_url)] = "wss://api.openai.com/v1/live/sessions"
    """The address of the WebSocket of `openai_live`."""
    openai_webhook_secret: Annotated[SecretStr, AfterValidator(sip_settings.webhook_secret)] = SecretStr("")
    """The secret that verifies OpenAI's webhooks (`whsec_…`), which turns calls over OpenAI's SIP on: they come to
    `/openai/webhook`. While it is being rotated: the new and the old one, separated by a comma."""
    openai_project_id: Annotated[str, AfterValidator(sip_settings.project)] = ""
    """The project (`proj_…`) at whose SIP address numbers of other carriers are answered: see `route`."""
    openai_sip_host: Annotated[str, AfterValidator(sip_settings.host)] = "sip.api.openai.com"
    """The host of that SIP address; `sip-eu.api.openai.com` for a project in Europe."""
    openai_sip_scheme: Annotated[Literal["sip", "sips"], call_settings.Lower] = "sip"
    """The scheme of OpenAI's SIP address."""
    openai_sip_transport: Annotated[Literal["tls", "tcp", "udp"], call_settings.Lower] = "tls"
    """How OpenAI's SIP address is reached."""
    openai_sip_port: Port = 0
    """The port of OpenAI's SIP address; 0: the one that belongs to the transport."""
    twiml_default_mode: Annotated[Literal["", "stream", "sip"], call_settings.Lower] = ""
    """What Twilio is told at `/api/twiml` and `/twiml` where the address has no `mode`: see `route`. Empty: what the
    number's profile says."""
    telnyx_api_key: Annotated[SecretStr, AfterValidator(validators.telnyx_key)] = SecretStr("")
    """An API key of Telnyx. Set this and `telnyx_public_key`, or neither to leave Telnyx off."""
    telnyx_public_key: Annotated[str, AfterValidator(validators.ed25519_public_key)] = ""
    """The public key that verifies Telnyx's webhooks: base64 of the 32 raw bytes of an Ed25519 key. (A key in SPKI form
    is accepted and reduced to that.)"""
    telnyx_api_base: Annotated[str, AfterValidator(validators.api_base)] = "https://api.telnyx.com/v2"
    """The address of Telnyx's REST API."""
    telnyx_connection_id: str = ""
    """The id of the Voice API application. `doctor` checks that one, outbound calls are dialled through it, and running
    calls are compared with its calls."""
    telnyx_from_number: Annotated[str, AfterValidator(validators.e164)] = ""
    """Our number that outbound calls through Telnyx show, in the form `+15550100002`, unless a call names another."""
    telnyx_machine_detection: Annotated[Literal["premium", "standard"], call_settings.Lower] = "premium"
    """How Telnyx listens for answering machines (`machine_detection`). `premium` has its price, recognises faxes and
    silent lines, and tells of a greeting that ends without a beep; `standard` takes a fax for a machine."""
    twilio_account_sid: Annotated[str, AfterValidator(validators.account_sid)] = ""
    """The SID of the Twilio account. Set this and `twilio_auth_token`, or neither to leave Twilio off."""
    twilio_auth_token: Annotated[SecretStr, AfterValidator(validators.twilio_token)] = SecretStr("")
    """The token that verifies Twilio's webhooks, and authorises commands unless there is an API key. While it is being
    rotated: the new and the old one, separated by a comma; the first is used, all verify."""
    twilio_from_number: Annotated[str, AfterValidator(validators.e164)] = ""
    """Our number that outbound calls through Twilio show, unless a call names another."""
    twilio_api_key: Annotated[str, AfterValidator(validators.twilio_api_key)] = ""
    """The SID of an API key of Twilio, for commands in place of the auth token."""
    twilio_api_secret: Secret = SecretStr("")
    """The secret of that API key."""
    twilio_shared_keys: Secrets = SecretStr("")
    """Secrets for webhooks that are signed with shared keys: `id:secret`, or only the secret; several separated by
    commas."""
    twilio_api_base: Annotated[str, AfterValidator(validators.api_base)] = "https://api.twilio.com"
    """The address of Twilio's REST API, without a path."""

    # Addresses and listeners

    public: bool = False
    """Open a tunnel with ngrok, so that carriers reach a machine without a public address: the same as `--public`."""
    ngrok_auth_token: Secret = SecretStr("")
    """The token of the ngrok account."""
    ngrok_download: bool = False
    """Download ngrok's program for a tunnel when it is not installed, without asking at the terminal."""
    public_base_url: Annotated[str, AfterValidator(validators.public_url)] = ""
    """Where carriers reach this server: scheme and host, such as `https://calls.example.org`. Empty: the tunnel, or the
    address of the newest verified webhook."""
    failover_url: Annotated[str, AfterValidator(validators.failover_url)] = ""
    """Where carriers ask when this server does not answer, once `python server.py provision` has told them: a second
    Callflow as scheme and host, or the whole address of a TwiML document, which only Twilio can use. Empty: nowhere."""
    host: Host = "127.0.0.1"
    """The address on which carriers are served; `0.0.0.0` to be reached from other machines."""
    port: Port = 6000
    """The port on which carriers are served; 0 takes any free port."""
    console_host: Host = "127.0.0.1"
    """The address on which operators are served: console, metrics, everything that strangers must not see."""
    console_port: Port = 6001
    """The port on which operators are served; 0 takes any free port."""
    console_token: Secret = SecretStr("")
    """The console's password, at least 16 characters. Needed when `console_host` can be reached from other machines,
    and for whatever costs money or changes an account."""
    console_tokens: Annotated[SecretStr, AfterValidator(validators.console_tokens)] = SecretStr("")
    """Further tokens of operators, `name:role:token` or `name:role:business:token` each, separated by commas. The role
    is `view` (sees, with telephone numbers masked), `operate` (also acts on calls, and dials) or `configure` (whatever
    `console_token` may). One of a business (see `business`) sees and changes nothing but what belongs to that business.
    Needs `console_token`."""
    console_phone: bool = True
    """Put a phone into the operators' page that rings this server through an emulated carrier inside it, of which the
    public port knows nothing. With a key of OpenAI's a call costs what the model costs, so that it needs
    `console_token`."""

    # Traces

    otel_exporter_otlp_endpoint: Annotated[str, AfterValidator(validators.empty_or_api_base)] = ""
    """The address of an OpenTelemetry collector that speaks OTLP over HTTP, such as `http://127.0.0.1:4318`: each call
    becomes a trace when it has ended. Needs the extra `otel`. Empty: no traces."""
    otel_exporter_otlp_headers: Annotated[SecretStr, AfterValidator(validators.collector_headers)] = SecretStr("")
    """What the collector wants to be told with each request, such as `authorization=Bearer%20TOKEN`; several separated
    by commas, with special characters of values percent-encoded."""
    otel_service_name: str = "callflow"
    """The name of this server in its traces."""

    # Events

    events_url: Annotated[str, AfterValidator(validators.events_url)] = ""
    """Where events of the calls are sent, as signed webhooks: `https://…`, or `http://` on this machine. Needs
    `events_secret`. Empty: none are made."""
    events_secret: Annotated[SecretStr, AfterValidator(validators.events_secret)] = SecretStr("")
    """The secret that signs them, `whsec_` and base64 of 24 to 64 bytes. While it is being rotated: the new and the old
    one, separated by a comma; both sign."""
    events_words: bool = False
    """Put what was said, and what tools answered, into the events. Else they hold numbers, causes and figures only."""

    # Before the first word

    caller_lookup: Annotated[str, AfterValidator(validators.caller_lookup)] = ""
    """What is asked about each caller while it rings: the name of a function in `tools_file` (`tools`: that of
    `caller_lookup`), or an address (`https://…`, or `http://` on this machine; needs `events_secret`, which signs the
    question). Empty: nothing."""
    caller_lookup_seconds: Annotated[float, Field(ge=0.05, le=5, allow_inf_nan=False)] = 0.8
    """How long the answer may take; then the call goes on without it. The phone rings meanwhile."""

    # OpenAI's other interfaces

    realtime_expires_seconds: Annotated[float, Field(ge=10, le=7200, allow_inf_nan=False)] = 600
    """How long a client secret of `POST /api/realtime-token` lives, if the request does not say it."""
    realtime_control_secret: Secret = SecretStr("")
    """What `/api/realtime/control` wants to be told as `Authorization: Bearer …` or `x-webhook-secret`."""
    realtime_control_signing_secret: Secret = SecretStr("")
    """What requests to it must be signed with. Of the two, each that is set must be right; with neither, nobody is
    answered."""
    realtime_control_tolerance_seconds: Annotated[float, Field(ge=1, le=86400, allow_inf_nan=False)] = 300
    """How far the time in such a signature may be from ours, in either direction."""
    realtime_control_untimed: bool = False
    """Accept signatures without a time as well, which can be repeated for ever."""
    realtime_control_admin_secret: Secret = SecretStr("")
    """What `/api/realtime/control/settings`, on the operators' port, wants to be told beside the usual: at least 32
    characters. Empty: nobody changes or sees these settings."""
    realtime_control_url: Annotated[str, AfterValidator(control_endpoint.url)] = ""
    """Who is asked about the session of each call, while it rings: `self`, this server itself, or an address (`https://…`,
    or `http://` on this machine), which gets the secrets above as they are. Empty: nobody."""
    realtime_control_events: Annotated[str, AfterValidator(control_endpoint.events)] = "session.created"
    """At which events of a call the control endpoint is asked: `session.created`, while it rings, and names of what
    happens in a call (`turn`, `interrupted`, …), separated by commas."""
    realtime_control_seconds: Annotated[float, Field(ge=0.05, le=5, allow_inf_nan=False)] = 0.8
    """How long the answer may take; then the call goes on as it was."""

    # Limits

    max_concurrent_calls: Annotated[int, Field(ge=1, le=100_000)] = 100
    """Calls at the same time; further callers are told that all lines are busy."""
    admission_lag_ms: Annotated[float, Field(ge=0, le=60_000, allow_inf_nan=False)] = 15
    """How late the event loop may be, in milliseconds, before new callers hear that all lines are busy, so that live
    calls do not turn choppy: at the 99th percentile of five seconds, twice in a row. 0: off."""
    admission_min_calls: Annotated[int, Field(ge=0, le=100_000)] = 10
    """So many live calls are accepted however late the event loop is."""
    max_calls_per_caller: Annotated[int, Field(ge=0, le=10_000)] = 0
    """Calls of one caller's number at the same time. 0: no limit. Callers who withhold their number are never
    counted."""
    max_calls_per_caller_hour: Annotated[int, Field(ge=0, le=10_000)] = 0
    """Calls of one caller's number within an hour (of a server that is alone: since its start). 0: no limit."""
    max_daily_minutes: call_settings.OfADay = 0
    """Minutes that all calls of a day may take together, counted from the answer. Past it new callers hear
    `over_budget`, nothing is dialled, and calls in progress are told, and end with a goodbye. 0: no limit."""
    max_daily_usd: call_settings.OfADay = 0
    """US dollars that all calls of a day may cost together: what the model costs by its price list, and what the
    carrier says that it takes. A model without a known price counts with the dearest minute that is known. 0: no
    limit."""
    budget_zone: Annotated[str, AfterValidator(validators.zone)] = "UTC"
    """The time zone in which days are counted, such as `Europe/Berlin`."""
    dials_per_minute: Annotated[int, Field(ge=1, le=100_000)] = 60
    """Outbound calls that may be asked for within a minute; more are refused, and may be asked for again later."""
    allow_number_release: bool = False
    """Let numbers be given back to their carrier (`numbers release`, `DELETE /api/numbers/…`): nothing undoes that."""
    allow_client_creds: bool = False
    """Let `POST /api/calls` bring keys of its own (`openaiApiKey`, `twilioAccountSid` with `twilioAuthToken`) for
    its call. For development only: it does nothing unless the addresses of the engine and of the carriers are all on
    this machine."""
    campaign_share: Annotated[float, Field(ge=0.01, le=1, allow_inf_nan=False)] = 0.5
    """How much of `max_concurrent_calls` lists of calls may take, so that callers still find a place; 1: all of it. At
    least one call."""
    allow_unsigned_webhooks: bool = False
    """Accept webhooks without a signature. For development only: anyone who finds the address can fake calls."""

    # Dialling

    dial_allow: Annotated[str, BeforeValidator(validators.dial_prefixes)] = ""
    """Beginnings of the numbers that may be dialled, each `+` and digits: `+1, +4420`. Empty: every ordinary number.
    Numbers at a premium rate need one that is longer than their country code, those of satellites and international
    networks (+870, +881, …) their own code. Emergency and short numbers are never dialled."""
    dial_deny: Annotated[str, BeforeValidator(validators.dial_prefixes)] = ""
    """Beginnings of the numbers that are not dialled. Of all that match a number, here and in `dial_allow`, the longest
    decides, and this one if both are equally long."""

    # Files, history and logs

    tools_file: call_settings.Text = "tools.py"
    """The Python file with the agent's tools. Without a `tools.py` there are no tools; a file that is named here must
    exist."""
    tool_process: bool = False
    """Run the tools of this file in a process of their own. A tool that keeps Python's interpreter busy then holds up
    other tools, but no caller's audio. The server reads the file as well, for what the model is told."""
    data_dir: call_settings.Text = "data"
    """The folder for database and recordings, relative to the current folder."""
    database_url: Annotated[str, AfterValidator(validators.database_url)] = ""
    """The database of the history: `sqlite:///PATH` or `postgresql://USER:PASSWORD@HOST/NAME`. Empty: `callflow.db` in
    `data_dir`."""
    default_country: Annotated[str, AfterValidator(validators.country)] = ""
    """The country of numbers that are written without a country code, as two letters (`US`, `DE`). Empty: that of most
    numbers in the profiles, else `US`."""
    retention_days: Annotated[float, Field(ge=0, le=36_500, allow_inf_nan=False)] = 0
    """After this many days a call is deleted from the history, with its recording. 0: never."""
    redact_cards: bool = True
    """Remove payment card numbers from all text that is written down, in the history and in the log."""
    redact_patterns: Annotated[str, AfterValidator(validators.patterns)] = ""
    """What else is removed: one regular expression per line, in the syntax of RE2."""
    log_level: Annotated[Literal["debug", "info", "warning", "error"], call_settings.Lower] = "info"
    """How much is logged."""

    # What the carrier says

    apology_text: call_settings.Text = "I am sorry, something went wrong on our side. Please call again in a moment."
    """Spoken by the carrier when something failed, before it hangs up."""
    one_moment_text: call_settings.Text = "One moment, please. I am connecting you."
    """Spoken by the carrier before a caller is connected with `fallback_number`."""
    goodbye_text: call_settings.Text = "Thank you for calling. Goodbye."
    """Spoken by the carrier at the end of a call that cannot end with the agent's own goodbye."""
    busy_text: call_settings.Text = "I am sorry, all our lines are busy. Please call again in a few minutes."
    """Spoken by the carrier to a caller for whom there is no line, if the call was answered already; others get the
    busy tone."""
    unavailable_text: call_settings.Text = (
        "I am sorry, we cannot take your call at the moment. Please call again later. Goodbye."
    )
    """Spoken by the carrier to a caller past one of the limits of a day (`max_daily_minutes`), without a stream."""
    carrier_voice: call_settings.Text = "AWS.Polly.Joanna-Neural"
    """The carrier's voice for these sentences."""
    carrier_language: Annotated[call_settings.Text, AfterValidator(validators.language)] = "en-US"
    """The language of `carrier_voice`, such as `de-DE`. Over Telnyx the nearest one of its own list is used."""

    # Peculiarities of the carriers

    twilio_greeting_text: str = ""
    """Spoken by Twilio's own voice before the agent is connected. Empty is best: the agent greets sooner than any
    announcement ends."""
    twilio_pause_seconds: call_settings.Off = 0
    """Silence before the agent is connected, in whole seconds."""
    twilio_after_text: str = ""
    """Spoken by Twilio's own voice at the very end of a call that we end."""
    twilio_resume_seconds: call_settings.Seconds = 2
    """How long a caller whose stream has ended waits until Twilio asks us what to do, in whole seconds."""
    twilio_media_signature: Annotated[Literal["warn", "require"], BeforeValidator(validators.media_signature)] = "warn"
    """A media socket always needs its token. `require`: it needs Twilio's signature as well. `warn`: a signature that
    is missing or wrong is logged once, and shown by `doctor`."""
    stream_target_legs: Literal["self", "opposite", "both"] = "self"
    """Which side of a Telnyx call hears the model; `self` is the caller."""

    # Operation

    drain: Annotated[Literal["goodbye", "handover"], call_settings.Lower] = "goodbye"
    """What happens to running calls when the server is asked to stop (SIGTERM). `goodbye`: they end with one;
    `handover`: they move to other nodes, or are left to the next process, which must be started right after."""
    drain_seconds: call_settings.Seconds = 20
    """How long running calls have then to end by themselves, or to reach a moment when nobody speaks."""
    reconcile_seconds: call_settings.Off = 60
    """How often our calls are compared with those that the carriers have. 0: never."""
    command_seconds: call_settings.Seconds = 3
    """For one try of one command to a carrier."""
    recording_hosts: Annotated[str, AfterValidator(validators.hosts)] = ""
    """Further hosts from which recordings of carriers may be loaded, separated by spaces: `files.example.org`, or
    `.example.org` for all below it. The carriers' own, and Amazon's store, are known."""
    journal_seconds: call_settings.Seconds = 0.25
    """How long a call waits for one journal entry to reach the disk. Then it goes on, and says so."""
    engine_spare: Annotated[int, Field(ge=0, le=20)] = 0
    """How many connections to the model are opened ahead, so that the next caller does not wait for one. Each is an
    idle session at the vendor, and is replaced every three minutes."""
    media_server: Annotated[Literal["picows", "websockets", "hypercorn"], call_settings.Lower] = "picows"
    """What serves the media sockets. `picows`: the quickest, before HTTP and on the same port. `websockets`: the same
    with another library, should picows make trouble. `hypercorn`: the HTTP server, as in earlier versions."""
    media_ping_seconds: call_settings.Off = 20
    """The time between two pings on a media socket, so that no proxy closes it as idle. A socket whose other side does
    not answer pings stays open. 0: none are sent."""
    command_retries: call_settings.Times = 3
    """Further tries of a carrier command after the first one failed."""

    _profiles: dict[str, dict[str, Any]] = PrivateAttr(default_factory=dict)
    _warnings: tuple[str, ...] = PrivateAttr(default=())
    _files: tuple[Path, ...] = PrivateAttr(default=())

    @model_validator(mode="before")
    @classmethod
    def _former_names_of_programs(cls, values: object) -> object:
        return present(values) if isinstance(values, dict) else values

    @field_validator("*", mode="before")
    @classmethod
    def _no_boolean_numbers(cls, value: object, info: ValidationInfo) -> object:
        # pydantic accepts true as 1: `port = true` would be port 1.
        field = cls.model_fields[str(info.field_name)]
        takes_both = any(isinstance(each, BeforeValidator) for each in field.metadata)
        if isinstance(value, bool) and field.annotation is not bool and not takes_both:
            raise ValueError(f"must be {validators.wanted(str(info.field_name), field)}")
        return value

    @property
    def lookup_url(self) -> str:
        """The address that is asked about callers; "": none is."""
        return self.caller_lookup if ":" in self.caller_lookup else ""

    @property
    def lookup_function(self) -> str:
        """The function that is asked about callers; "": none is."""
        return "" if self.lookup_url else self.caller_lookup

    @property
    def warnings(self) -> tuple[str, ...]:
        """Problems that `load` found and that do not stop the start, one line each."""
        return self._warnings

    @property
    def files(self) -> tuple[Path, ...]:
        """The absolute paths of the files that `load` has read."""
        return self._files

    @property
    def profiles(self) -> Mapping[str, Mapping[str, Any]]:
        """The tables `[profiles.NAME]` of settings.toml by name, as written: see `callflow.config.profiles`."""
        return self._profiles

    @property
    def engine_costs(self) -> bool:
        """Whether sessions with the model cost money: it is not one that this machine emulates."""
        return not validators.is_loopback(urlsplit(self.openai_realtime_url).hostname or "")

    @property
    def openai_sip_on(self) -> bool:
        """Whether calls over OpenAI's SIP can be served: their webhooks can be verified."""
        return bool(self.openai_webhook_secret) and bool(self.openai_api_key)

    @property
    def openai_sip_uri(self) -> str:
        """The SIP address to which numbers of other carriers may lead; "": the project is not known."""
        port = f":{self.openai_sip_port}" if self.openai_sip_port else ""
        where = f"{self.openai_project_id}@{self.openai_sip_host}{port};transport={self.openai_sip_transport}"
        return f"{self.openai_sip_scheme}:{where}" if self.openai_project_id else ""

    @property
    def telnyx_on(self) -> bool:
        """Whether Telnyx can be served: there is its API key, and a key that verifies its webhooks."""
        return bool(self.telnyx_api_key) and bool(self.telnyx_public_key or self.allow_unsigned_webhooks)

    @property
    def twilio_on(self) -> bool:
        """Whether Twilio can be served: there is its account, and the token that verifies its webhooks."""
        return bool(self.twilio_account_sid) and bool(self.twilio_auth_token)

    def __repr_args__(self) -> Iterable[tuple[str, str]]:
        return [(name.lower(), value) for name, value, _ in display.masked(self)]


SECRETS: Final = frozenset(name for name, field in Settings.model_fields.items() if field.annotation is SecretStr)
"""The settings whose value is never shown."""


@functools.lru_cache(1024)
def suggestion(name: str, *, among_others: bool = False) -> str | None:
    """Return the setting that was probably meant by an unknown name; None for a known name and for one like no setting.

    `among_others`: the name comes from an environment, where most names are not for Callflow.
    """
    if name in Settings.model_fields or name in ALIASES:
        return None
    found = legacy_names.setting_of(name) or suggestions.meant(
        name, [*Settings.model_fields, *ALIASES], among_others=among_others
    )
    return ALIASES.get(found, found) if found else None


def problem_of(detail: ErrorDetails, origins: Mapping[str, str], known: secret_text.Secrets = secret_text.NONE) -> str:
    """Return one line for one value that cannot be used: name, value (if it may be shown), origin, what to do.

    `detail`: the error as pydantic reports it. `origins`: where each value came from, by name. `known`: secrets that
    the line must not contain.
    """
    name, given = str(detail["loc"][0]), detail["input"]
    text = str(given).lower() if isinstance(given, bool) else str(given)
    is_quoted = name not in SECRETS and not isinstance(given, dict | list)
    about = f"{name.upper()}{display.quoted(name, text, known) if is_quoted else ''} ({origins[name]})"
    field_info = Settings.model_fields[name]
    if detail["type"] == "value_error":
        is_ours = isinstance(given, dict | list)
        return f"{about} {detail['ctx']['error']}{validators.slip(given, field_info) if is_ours else ''}"
    return f"{about} must be {validators.wanted(name, field_info)}{validators.slip(given, field_info)}"
