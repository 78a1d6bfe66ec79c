"""The table printed at start: what runs where, and what is left to do. Readable at 80 columns and in a log file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from callflow.cli.plain_table import Section
from callflow.config.call_settings import CallSettings
from callflow.config.display import masked
from callflow.config.paths import tools_file
from callflow.config.profiles import country
from callflow.config.session_overrides import ORIGIN
from callflow.config.settings import Settings
from callflow.config.setup_checks import to_do
from callflow.contracts import addresses


if TYPE_CHECKING:
    from rich.table import Table


def start_table(
    settings: Settings,
    *,
    public: tuple[str, int],
    console: tuple[str, int],
    address: str = "",
    warnings: Sequence[str] = (),
    profiles: str = "",
) -> list[Section]:
    """Make the table. `public` and `console`: host and port as bound. `address`: the public URL; "": not known.
    `profiles`: which there are; "": none.

    `warnings` come before what follows from the settings themselves in the rows "to do".
    """
    shown = {name: value for name, value, _ in masked(settings)}
    data, transcription = _data(settings, shown["DATA_DIR"]), shown["TRANSCRIPTION_MODEL"]
    todo = [*warnings, *to_do(settings, address)]
    return [
        Section([
            ("Callflow", f"{_address(*public)}  for carriers"),
            ("console", f"{_address(*console)}  for operators{', with a token' if settings.console_token else ''}"),
            *_processes(settings),
        ]),
        Section([
            ("public address", addresses.shown(address) or "not set"),
            ("Telnyx", _telnyx(settings)),
            ("Twilio", _twilio(settings)),
            *([("OpenAI SIP", settings.openai_sip_uri or "on")] if settings.openai_sip_on else []),
            *_noise(settings),
        ]),
        Section([
            ("model", f"{shown['MODEL']}, voice {shown['VOICE']}"),
            ("caller's words", f"written down by {transcription}" if transcription else "not written down"),
            *_operator_overrides(settings),
            *([("profiles", profiles)] if profiles else []),
        ]),
        Section([
            ("limits", _limits(settings)),
            ("numbers", f"those of {country(settings)}, where no country code is given (default_country)"),
        ]),
        Section([
            *(("settings", str(file)) for file in settings.files or ["no file: .env and settings.toml are not there"]),
            ("tools", tools(settings)),
            ("data", data),
            ("history", shown["DATABASE_URL"] or f"{data}/callflow.db"),
        ]),
        Section([("to do", line) for line in todo], "yellow")
        if todo
        else Section([("to do", "nothing: waiting for calls")], "green"),
    ]  # fmt: skip


def check_table(settings: Settings) -> Table:
    """Make the table of `--check`: each setting, its value and where it came from. Secrets are masked."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table("setting", "value", "from", box=box.HORIZONTALS, pad_edge=False, padding=(0, 2, 0, 0))
    shown = {}
    for name, value, origin in masked(settings):
        shown[name] = value
        table.add_row(name, Text(value, overflow="fold"), origin)
    table.add_section()
    for label, text in (
        *(("read", str(file)) for file in settings.files or ["no file: .env and settings.toml are not there"]),
        ("tools", tools(settings)),
        ("data", _data(settings, shown["DATA_DIR"])),
    ):
        table.add_row(label, Text(text, overflow="fold"), "")
    return table


def tools(settings: Settings) -> str:
    """Return the path of the file with the agent's tools, or that there is none."""
    path = tools_file(settings)
    return str(path.absolute()) if path.is_file() else f"none: there is no {path.name}"


def _data(settings: Settings, shown: str) -> str:
    """The whole path of the data folder, if its name may be shown."""
    return str(Path(shown).absolute()) if shown == settings.data_dir else shown


def _telnyx(settings: Settings) -> str:
    if not settings.telnyx_on:
        return "off"
    return "on" if settings.telnyx_public_key else "on, but its webhooks are not verified"


def _twilio(settings: Settings) -> str:
    if not settings.twilio_on:
        return "off"
    return "on" if not settings.allow_unsigned_webhooks else "on, but unsigned webhooks are taken"


def _processes(settings: Settings) -> list[tuple[str, str]]:
    """Who serves beside this process, if anybody does."""
    of_machine = "one process" if settings.workers == 1 else f"{settings.workers} processes"
    if settings.cluster_port:
        where = f"other machines reach it at {_address(settings.cluster_host, settings.cluster_port)} and above"
        return [("node", f"{settings.node}: {of_machine}; {where}")]
    return [("workers", of_machine)] if settings.workers > 1 else []


def _noise(settings: Settings) -> list[tuple[str, str]]:
    """Who takes the noise out of the caller's audio before it gets here, if that is asked for."""
    if settings.noise_suppression == "off":
        return []
    on = ["Telnyx takes it out of the caller's audio"] * settings.telnyx_on
    return [("noise", "; ".join(on + ["Twilio has no noise suppression"] * settings.twilio_on) or "no carrier is on")]


def _address(host: str, port: int) -> str:
    shown = f"[{host}]" if ":" in host and not host.startswith("[") else host
    return f"http://{shown}:{port}"


def _operator_overrides(settings: Settings) -> list[tuple[str, str]]:
    """What operators have changed for coming calls."""
    names = [name for name in CallSettings.model_fields if settings.origin(name) == ORIGIN]
    return [("kept", f"{', '.join(names)} (in the database: GET /api/session)")] if names else []


def _limits(settings: Settings) -> str:
    of_all = f"{settings.max_concurrent_calls} calls at once, {_duration(settings.max_call_seconds)} each"
    at_once, per_hour = settings.max_calls_per_caller, settings.max_calls_per_caller_hour
    of_one = [f"{at_once} at once"] * bool(at_once) + [f"{per_hour} an hour"] * bool(per_hour)
    of_day = [f"{settings.max_daily_minutes:.15g} minutes"] * bool(settings.max_daily_minutes)
    of_day += [f"${settings.max_daily_usd:.15g}"] * bool(settings.max_daily_usd)
    parts = [of_all]
    parts += [f"of one caller {', '.join(of_one)}"] * bool(of_one)
    parts += [f"a day {' and '.join(of_day)} ({settings.budget_zone})"] * bool(of_day)
    return "; ".join(parts)


def _duration(seconds: float) -> str:
    """`1 h`, `90 min`, `2.5 s`: the largest unit that needs no fraction."""
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= length and seconds % length == 0:
            return f"{seconds / length:g} {unit}"
    return f"{seconds:g} s"
