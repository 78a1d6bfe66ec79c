"""Every setting of Callflow, read once at start.

Each setting has one name: `vad_silence_ms` in `settings.toml`, `VAD_SILENCE_MS` in the environment and in `.env`.
A value is taken from the first of these that has it: command line, environment, `.env`, `settings.toml`, default.

`load()` reads them all; `Settings(...)` reads nothing, so that a test gets exactly what it names. Names that end in
`_seconds` and `_ms` say their unit.
"""

from __future__ import annotations

import difflib
import io
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from dotenv import dotenv_values
from dotenv.parser import parse_stream
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PrivateAttr,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource

from callflow import secrecy
from callflow import settings_conduct as conduct
from callflow import settings_legacy as legacy
from callflow import settings_shown as shown
from callflow import settings_values as values


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


class SettingsError(Exception):
    """The settings cannot be used. `problems` holds one line for each thing to correct; `warnings` may explain them."""

    def __init__(self, problems: list[str], warnings: list[str] | None = None) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems
        self.warnings = warnings or []


class Settings(conduct.Conduct):
    """What was asked for; frozen. Here secrets, addresses and operation; how calls are conducted, `Conduct` says."""

    openai_api_key: Secret = SecretStr("")
    openai_realtime_url: Annotated[str, AfterValidator(values.websocket_url)] = "wss://api.openai.com/v1/realtime"
    """May already hold a query such as `?model=…`."""
    telnyx_api_key: Secret = SecretStr("")
    telnyx_public_key: Annotated[str, AfterValidator(values.ed25519_public_key)] = ""
    """Base64 of the 32 raw bytes of an Ed25519 key (an SPKI key is accepted and reduced to that)."""
    telnyx_api_base: Annotated[str, AfterValidator(values.api_base)] = "https://api.telnyx.com/v2"
    """Without a trailing slash."""
    telnyx_connection_id: str = ""
    """Of the Voice API application; needed to look after it, not to be called."""
    twilio_account_sid: Annotated[str, AfterValidator(values.account_sid)] = ""
    twilio_auth_token: Secrets = SecretStr("")
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
    public_base_url: Annotated[str, AfterValidator(values.public_url)] = ""
    """Where carriers reach us: scheme, host and port, no trailing slash; "" when not known."""
    host: Host = "127.0.0.1"
    port: Port = 6000
    """0 takes any free port."""
    console_host: Host = "127.0.0.1"
    console_port: Port = 6001
    console_token: Secret = SecretStr("")
    max_concurrent_calls: Annotated[int, Field(ge=1)] = 100
    allow_unsigned_webhooks: bool = False
    tools_file: str = "tools.py"
    """What the agent can do, in Python; a file that is not there is no tools."""
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
    carrier_language: conduct.Text = "en-US"
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
    command_retries: Annotated[int, Field(ge=0)] = 3
    """Further tries of a carrier command after the first one failed."""

    _origins: dict[str, str] = PrivateAttr(default_factory=dict)
    _profiles: dict[str, dict[str, Any]] = PrivateAttr(default_factory=dict)
    _warnings: tuple[str, ...] = PrivateAttr(default=())

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
    def profiles(self) -> Mapping[str, Mapping[str, Any]]:
        """The tables `[profiles.NAME]` of settings.toml, as they stand there: see `callflow.profiles`."""
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
        return [(name.lower(), value) for name, value, _ in masked(self)]

    def origin(self, name: str) -> str:
        """From where a value came: `command line`, `environment`, `.env`, `settings.toml` or `default`."""
        return self._origins.get(name, "default")


masked = shown.masked
SECRETS: Final = frozenset(name for name, field in Settings.model_fields.items() if field.annotation is SecretStr)
"""Settings whose value is never shown."""


def load(
    argv_overrides: Mapping[str, object] | None = None,
    *,
    toml: str | Path | None = "settings.toml",
    env_file: str | Path | None = ".env",
) -> Settings:
    """Read all settings. Relative paths start at the working directory; a file that is absent is skipped.

    `argv_overrides`: what the command line said, by setting name; None means not given. An empty value counts as not
    given in the environment and in `.env`, but as empty on the command line and in `settings.toml`.
    Raises SettingsError with one line for each problem.
    """
    problems: list[str] = []
    warnings: list[str] = []
    in_toml = _read_toml(toml, problems, warnings)
    profiles = in_toml.pop("profiles", {})
    layers: list[tuple[str, dict[str, object]]] = [
        ("settings.toml", in_toml),
        (".env", _read_env_file(env_file, problems, warnings)),
        ("environment", _known(EnvSettingsSource(Settings).env_vars, warnings)),
        ("command line", _overrides(argv_overrides or {})),
    ]
    merged: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for origin, layer in layers:
        merged |= layer
        origins |= dict.fromkeys(layer, origin)
    try:
        settings = Settings(**merged)
        settings._origins = origins
        problems += shown.misplaced(settings)
    except ValidationError as error:
        known = secrecy.Secrets(str(merged[name]) for name in SECRETS & merged.keys())
        problems += [problem_of(detail, origins, known) for detail in error.errors(include_url=False)]
    if problems:
        raise SettingsError(problems, warnings)
    settings._profiles = profiles if isinstance(profiles, dict) else {}
    settings._warnings = tuple(warnings)
    return settings


def check_serve(settings: Settings) -> list[str]:
    """What keeps `serve` from starting, one line each; empty when nothing does."""
    problems: list[str] = []
    if not settings.openai_api_key:
        problems.append(
            "OPENAI_API_KEY is not set: put it into .env, or try `python server.py demo`, which needs no key"
        )
    problems += _check_carriers(settings)
    token = settings.console_token.get_secret_value()
    if not token and not values.is_loopback(settings.console_host):
        problems.append(
            f'CONSOLE_TOKEN is not set, but CONSOLE_HOST="{settings.console_host}" can be reached from other machines:'
            " set a token of at least 16 characters, or CONSOLE_HOST=127.0.0.1"
        )
    if token and len(token) < values.TOKEN_CHARACTERS:
        problems.append(f"CONSOLE_TOKEN has {len(token)} characters: use at least {values.TOKEN_CHARACTERS}")
    if settings.port and (settings.host, settings.port) == (settings.console_host, settings.console_port):
        problems.append(f"CONSOLE_PORT={settings.console_port} is also PORT: give the console a port of its own")
    return problems


def _check_carriers(settings: Settings) -> list[str]:
    """A carrier with none of its keys is off; with only some of them, somebody meant to set it up."""
    problems: list[str] = []
    telnyx = settings.telnyx_api_key or settings.telnyx_public_key
    twilio = settings.twilio_account_sid or settings.twilio_auth_token
    if not telnyx and not twilio:
        problems.append(
            "No carrier is set up: put TELNYX_API_KEY and TELNYX_PUBLIC_KEY into .env,"
            " or TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN"
        )
    if telnyx and not settings.telnyx_api_key:
        problems.append("TELNYX_API_KEY is not set, but TELNYX_PUBLIC_KEY is: set both, or neither to leave Telnyx off")
    elif telnyx and not settings.telnyx_on:
        problems.append(
            "TELNYX_PUBLIC_KEY is not set, but TELNYX_API_KEY is: copy it from Telnyx (Keys & Credentials, Public Key)"
        )
    if twilio and not settings.twilio_account_sid:
        problems.append(
            "TWILIO_ACCOUNT_SID is not set, but TWILIO_AUTH_TOKEN is: set both, or neither to leave Twilio off"
        )
    elif twilio and not settings.twilio_on:
        problems.append(
            "TWILIO_AUTH_TOKEN is not set, but TWILIO_ACCOUNT_SID is: copy it from Twilio's console (Account Info);"
            " it verifies webhooks, which an API key cannot"
        )
    if bool(settings.twilio_api_key) != bool(settings.twilio_api_secret):
        given, missing = ("KEY", "SECRET") if settings.twilio_api_key else ("SECRET", "KEY")
        problems.append(f"TWILIO_API_{missing} is not set, but TWILIO_API_{given} is: set both, or neither")
    return problems


def _known(layer: Mapping[str, str | None], warnings: list[str]) -> dict[str, object]:
    """The settings among environment variables (names in any case), by their own names; empty values are dropped."""
    found: dict[str, object] = legacy.translated(layer, warnings)
    for key, value in layer.items():
        name = key.lower()
        if value is None or not value.strip():
            continue
        if name in Settings.model_fields:
            found[name] = value
        elif name in ALIASES:
            found.setdefault(ALIASES[name], value)
    return found


def _overrides(given: Mapping[str, object]) -> dict[str, object]:
    if unknown := given.keys() - Settings.model_fields.keys():
        raise TypeError(f"not a setting: {', '.join(sorted(unknown))}")
    return {name: value for name, value in given.items() if value is not None}


def _read_toml(path: str | Path | None, problems: list[str], warnings: list[str]) -> dict[str, object]:
    text = _read_text(path, problems)
    if path is None or text is None:
        return {}
    label = Path(path).name
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message = re.sub(r" \(at .*\)$", "", str(error))
        place = re.search(r"line (\d+)", str(error))
        line = place[1] if place else len(text.splitlines())
        problems.append(f"{label}, line {line}: {message[:1].lower()}{message[1:]}")
        return {}
    found: dict[str, object] = {}
    for key, value in table.items():
        name = ALIASES.get(key, key)
        if key == "profiles":
            found[key] = value
            continue
        if name not in Settings.model_fields:
            meant = suggestion(key)
            warnings.append(f"{label}: unknown key {shown.key(key)}" + (f' — did you mean "{meant}"?' if meant else ""))
            continue
        if name in SECRETS and value:
            warnings.append(f"{label}: {key} is a secret, and this file is meant to be committed; move it to .env")
        if name == key or name not in table:
            found[name] = value
    return found


def _read_env_file(path: str | Path | None, problems: list[str], warnings: list[str]) -> dict[str, object]:
    text = _read_text(path, problems)
    if path is None or text is None:
        return {}
    label = Path(path).name
    kept = []
    for binding in parse_stream(io.StringIO(text)):
        if binding.error:
            # The parser counts the blank lines before a statement as its beginning.
            blank = len(binding.original.string) - len(binding.original.string.lstrip())
            line = binding.original.line + binding.original.string[:blank].count("\n")
            warnings.append(f"{label}, line {line}: ignored, because it is not of the form NAME=value")
        else:
            kept.append(binding.original.string)
    variables = dotenv_values(stream=io.StringIO("".join(kept)))
    # Other programs may read the same file: only what is nearly one of our names is worth a word.
    warnings += [
        f'{label}: unknown name "{key}" — did you mean "{meant.upper()}"?'
        for key in variables
        if key.upper() not in legacy.NAMES and (meant := suggestion(key.lower(), cutoff=0.9))
    ]
    return _known(variables, warnings)


def _read_text(path: str | Path | None, problems: list[str]) -> str | None:
    if path is None:
        return None
    try:
        # utf-8-sig: editors on Windows put a byte order mark first.
        return Path(path).read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        problems.append(f"{Path(path).name}, line {line}: not UTF-8 text; save the file as UTF-8")
    except OSError as error:
        problems.append(f"{path} cannot be read: {error.strerror or error}")
    return None


def suggestion(name: str, cutoff: float = 0.75) -> str | None:
    """The setting that was probably meant by an unknown name; None for a known one and for one like no other."""
    names = [*Settings.model_fields, *ALIASES]
    if name in names:
        return None
    return next(iter(difflib.get_close_matches(name, names, n=1, cutoff=cutoff)), None)


def problem_of(detail: ErrorDetails, origins: Mapping[str, str], known: secrecy.Secrets = secrecy.NONE) -> str:
    """One line for one value that cannot be used: name, value (where it may be shown), origin, what to do."""
    name = str(detail["loc"][0])
    given = str(detail["input"])
    text = given.lower() if given in ("True", "False") else given
    about = f"{name.upper()}{'' if name in SECRETS else shown.quoted(name, text, known)} ({origins[name]})"
    if detail["type"] == "value_error":
        return f"{about} {detail['ctx']['error']}"
    return f"{about} must be {values.wanted(name, Settings.model_fields[name])}"
