"""Every setting of Callflow, read once at start.

Each setting has one name: `vad_silence_ms` in `settings.toml`, `VAD_SILENCE_MS` in the environment and in `.env`.
A value is taken from the first of these that has it: command line, environment, `.env`, `settings.toml`, default.

`settings_loader.load()` reads them all; `Settings(...)` reads nothing, so that a test gets exactly what it names. Names
that end in `_seconds` and `_ms` say their unit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PrivateAttr,
    SecretStr,
    ValidationInfo,
    field_validator,
)
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from callflow.config import call_settings as conduct
from callflow.config import display as shown
from callflow.config import legacy_names as legacy
from callflow.config import suggestions as names
from callflow.config import validators as values
from callflow.contracts import secret_text


ALIASES: Final = {
    "telnyx_base_url": "telnyx_api_base",
    "public_url": "public_base_url",
    "ngrok_authtoken": "ngrok_auth_token",
}
"""Other names under which a setting is understood, for those who come from another project."""

Port = Annotated[int, Field(ge=0, le=65535)]
Secret = Annotated[SecretStr, AfterValidator(values.secret)]
Secrets = Annotated[SecretStr, AfterValidator(values.secrets)]
Host = Annotated[conduct.Text, AfterValidator(values.host)]


class Settings(conduct.CallSettings):
    """What was asked for; frozen. Here secrets, addresses and operation; how calls are conducted, `CallSettings` says."""

    openai_api_key: Annotated[SecretStr, AfterValidator(values.openai_key)] = SecretStr("")
    openai_realtime_url: Annotated[str, AfterValidator(values.websocket_url)] = "wss://api.openai.com/v1/realtime"
    """May already hold a query such as `?model=…`."""
    telnyx_api_key: Annotated[SecretStr, AfterValidator(values.telnyx_key)] = SecretStr("")
    telnyx_public_key: Annotated[str, AfterValidator(values.ed25519_public_key)] = ""
    """Base64 of the 32 raw bytes of an Ed25519 key (an SPKI key is accepted and reduced to that)."""
    telnyx_api_base: Annotated[str, AfterValidator(values.api_base)] = "https://api.telnyx.com/v2"
    """Without a trailing slash."""
    telnyx_connection_id: str = ""
    """Of the Voice API application; needed to look after it, not to be called."""
    twilio_account_sid: Annotated[str, AfterValidator(values.account_sid)] = ""
    twilio_auth_token: Annotated[SecretStr, AfterValidator(values.twilio_token)] = SecretStr("")
    """Several, separated by commas, while they are rotated: the first is used, all verify webhooks."""
    twilio_api_key: Annotated[str, AfterValidator(values.twilio_api_key)] = ""
    """For the REST interface, in place of the auth token; webhooks are verified by that in any case."""
    twilio_api_secret: Secret = SecretStr("")
    twilio_shared_keys: Secrets = SecretStr("")
    """`id:secret`, or only the secret, separated by commas: for webhooks that are signed with shared keys."""
    twilio_api_base: Annotated[str, AfterValidator(values.api_base)] = "https://api.twilio.com"
    """Without a path."""
    public: bool = False
    """Open a tunnel, and let carriers reach this server through it."""
    ngrok_auth_token: Secret = SecretStr("")
    ngrok_download: bool = False
    """Download ngrok's program for a tunnel where it is not installed, without asking at the terminal."""
    public_base_url: Annotated[str, AfterValidator(values.public_url)] = ""
    """Where carriers reach us: scheme, host and port, no trailing slash; "" when not known."""
    host: Host = "127.0.0.1"
    port: Port = 6000
    """0 takes any free port."""
    console_host: Host = "127.0.0.1"
    console_port: Port = 6001
    console_token: Secret = SecretStr("")
    max_concurrent_calls: Annotated[int, Field(ge=1)] = 100
    max_calls_per_caller: Annotated[int, Field(ge=0)] = 0
    """At once; 0: no limit. Callers who withhold their number are never counted."""
    max_calls_per_caller_hour: Annotated[int, Field(ge=0, le=10_000)] = 0
    """Within an hour, since the server's start; 0: no limit."""
    allow_unsigned_webhooks: bool = False
    tools_file: conduct.Text = "tools.py"
    """What the agent can do, in Python; no tools if that one is not there and nobody has asked for another."""
    data_dir: conduct.Text = "data"
    database_url: Annotated[str, AfterValidator(values.database_url)] = ""
    """Of the record of the calls: `sqlite:///…` or `postgresql://…`; "": callflow.db in the data folder."""
    default_country: Annotated[str, AfterValidator(values.country)] = ""
    """Of numbers without a country code; "": that of most numbers in the profiles, else US."""
    retention_days: conduct.Off = 0
    """After so many days a call is deleted from the record; 0: never."""
    redact_cards: bool = True
    """Payment card numbers are taken out of all that is written."""
    redact_patterns: Annotated[str, AfterValidator(values.patterns)] = ""
    """What else is: a regular expression per line."""
    log_level: Annotated[Literal["debug", "info", "warning", "error"], conduct.Lower] = "info"

    apology_text: conduct.Text = "I am sorry, something went wrong on our side. Please call again in a moment."
    goodbye_text: conduct.Text = "Thank you for calling. Goodbye."
    busy_text: conduct.Text = "I am sorry, all our lines are busy. Please call again in a few minutes."
    carrier_voice: conduct.Text = "AWS.Polly.Joanna-Neural"
    carrier_language: Annotated[conduct.Text, AfterValidator(values.language)] = "en-US"
    twilio_greeting_text: str = ""
    """Said by Twilio's own voice before the stream is opened."""
    twilio_pause_seconds: conduct.Off = 0
    """Before the stream is opened; whole seconds."""
    twilio_after_text: str = ""
    """Said by Twilio's own voice at the end of a call that we end."""
    twilio_resume_seconds: conduct.Seconds = 2
    """Whole ones, after a lost stream, until Twilio asks us what to do with the caller."""
    twilio_media_signature: Annotated[Literal["warn", "require"], BeforeValidator(values.media_signature)] = "warn"
    """require: media sockets need Twilio's signature beside their token. warn: one that is missing or odd is told."""
    stream_target_legs: Literal["self", "opposite", "both"] = "self"

    drain: Annotated[Literal["goodbye", "handover"], conduct.Lower] = "goodbye"
    """When the server is asked to stop: calls end with a goodbye, or go on in the next process."""
    drain_seconds: conduct.Seconds = 20
    """For calls to end by themselves, or to come to a quiet moment, when the server is asked to stop."""
    reconcile_seconds: conduct.Off = 60
    """How often our calls are compared with the carriers'; 0: never."""
    command_seconds: conduct.Seconds = 3
    """For one try of one command to a carrier."""
    journal_seconds: conduct.Seconds = 0.25
    """For one record to be written; after it the call goes on without waiting."""
    media_ping_seconds: conduct.Off = 20
    """Between two pings on a media socket whose peer answers them; 0: none are sent."""
    command_retries: Annotated[int, Field(ge=0)] = 3
    """Further tries of a carrier command after the first one failed."""

    _profiles: dict[str, dict[str, Any]] = PrivateAttr(default_factory=dict)
    _warnings: tuple[str, ...] = PrivateAttr(default=())
    _files: tuple[Path, ...] = PrivateAttr(default=())

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        # load() merges the layers itself: it alone knows aliases, and from where each value came.
        return (init_settings,)

    @field_validator("*", mode="before")
    @classmethod
    def _no_boolean_numbers(cls, value: object, info: ValidationInfo) -> object:
        # pydantic takes true for 1: `port = true` would be port 1.
        field = cls.model_fields[str(info.field_name)]
        takes_both = any(isinstance(each, BeforeValidator) for each in field.metadata)
        if isinstance(value, bool) and field.annotation is not bool and not takes_both:
            raise ValueError(f"must be {values.wanted(str(info.field_name), field)}")
        return value

    @property
    def warnings(self) -> tuple[str, ...]:
        """What `load` met that is not wrong enough to stop for, one line each."""
        return self._warnings

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that `load` has read."""
        return self._files

    @property
    def profiles(self) -> Mapping[str, Mapping[str, Any]]:
        """The tables `[profiles.NAME]` of settings.toml, as they stand there: see `callflow.config.profiles`."""
        return self._profiles

    @property
    def telnyx_on(self) -> bool:
        """Whether Telnyx can be served: its key, and what verifies its webhooks."""
        return bool(self.telnyx_api_key) and bool(self.telnyx_public_key or self.allow_unsigned_webhooks)

    @property
    def twilio_on(self) -> bool:
        """Whether Twilio can be served: its account, and what verifies its webhooks and pays for its commands."""
        return bool(self.twilio_account_sid) and bool(self.twilio_auth_token)

    def __repr_args__(self) -> Iterable[tuple[str, str]]:
        return [(name.lower(), value) for name, value, _ in shown.masked(self)]


SECRETS: Final = frozenset(name for name, field in Settings.model_fields.items() if field.annotation is SecretStr)
"""Settings whose value is never shown."""


def suggestion(name: str, *, among_others: bool = False) -> str | None:
    """The setting that was probably meant by an unknown name; None for a known one and for one like no other."""
    if name in Settings.model_fields or name in ALIASES:
        return None
    found = legacy.setting_of(name) or names.meant(name, [*Settings.model_fields, *ALIASES], among_others=among_others)
    return ALIASES.get(found, found) if found else None


def problem_of(detail: ErrorDetails, origins: Mapping[str, str], known: secret_text.Secrets = secret_text.NONE) -> str:
    """One line for one value that cannot be used: name, value (where it may be shown), origin, what to do."""
    name, given = str(detail["loc"][0]), detail["input"]
    text = str(given).lower() if isinstance(given, bool) else str(given)
    is_quoted = name not in SECRETS and not isinstance(given, dict | list)
    about = f"{name.upper()}{shown.quoted(name, text, known) if is_quoted else ''} ({origins[name]})"
    field_info = Settings.model_fields[name]
    if detail["type"] == "value_error":
        is_ours = isinstance(given, dict | list)
        return f"{about} {detail['ctx']['error']}{values.slip(given, field_info) if is_ours else ''}"
    return f"{about} must be {values.wanted(name, field_info)}{values.slip(given, field_info)}"
