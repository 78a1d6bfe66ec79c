"""What the settings make for all calls: a plan for each profile, the tools, and the rooms that calls share.

Which voice model there is, this file knows; which carriers, only `server.py`.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from callflow import kept_settings, session_changes, settings_places
from callflow.contracts import Caller
from callflow.engines import models, remote_tools, session_config
from callflow.engines.account import Account
from callflow.engines.call_tools import CallTools
from callflow.engines.openai_realtime import OpenAIRealtime
from callflow.engines.session_config import RealtimeConfig
from callflow.engines.tools import ToolShelf
from callflow.journal import Journal
from callflow.live import Live
from callflow.media import clips
from callflow.media.stream import MediaSettings
from callflow.plan import Plan
from callflow.profiles import Profiles
from callflow.redaction import Redactor
from callflow.rooms import Rooms
from callflow.settings import Settings, SettingsError
from callflow.settings_shown import secrets_of
from callflow.switchboard import Switchboard
from callflow.tokens import Mint


log = logging.getLogger(__name__)


def engine_config(settings: Settings) -> RealtimeConfig:
    """The engine's settings are named like ours, but for what is not for people to see or is ours to decide."""
    named = {each.name: getattr(settings, each.name) for each in fields(RealtimeConfig) if hasattr(settings, each.name)}
    return RealtimeConfig(
        **named
        | {
            "api_key": settings.openai_api_key.get_secret_value(),
            "url": settings.openai_realtime_url,
            "connect_seconds": settings.engine_seconds,
            "buffer_seconds": settings.engine_buffer_seconds,
        }
    )


def redactor(settings: Settings) -> Redactor:
    patterns = [line for line in settings.redact_patterns.splitlines() if line.strip()]
    return Redactor(patterns, cards=settings.redact_cards)


def for_the_log(settings: Settings) -> Callable[[str], str]:
    """What is shown of a text: no line that holds a secret, and nothing that nobody is to read."""
    secrets, redact = secrets_of(settings), redactor(settings)
    return lambda text: redact.text(secrets.lines(text))


def make_plan(settings: Settings, account: Account, profile: str = "", kept: Mapping[str, Any] | None = None) -> Plan:
    """How a call is conducted under these settings: those of its own number. `kept`: see `Plan`."""
    engine = engine_config(settings)
    by_silence = settings.turn_detection == "server_vad"
    names = {each.name for each in fields(Plan)} & set(Settings.model_fields)
    announced = settings.record_announcement if settings.record else ""
    return Plan(
        **{name: getattr(settings, name) for name in names - {"disclosure"}},
        disclosure=f"{announced} {settings.disclosure}".strip(),
        record_after_opening=bool(announced),
        profile=profile,
        kept=kept or {},
        make_engine=lambda brief, hear: OpenAIRealtime(engine, brief, hear, account),
        clips=_clips(settings, profile),
        deadline_seconds={
            "ring": settings.ring_seconds,
            "stream": settings.stream_seconds,
            "restream": settings.restream_seconds,
            "engine": settings.engine_seconds,
            "backoff": settings.engine_retry_seconds,
            "grace": settings.stream_grace_seconds,
            "farewell": settings.farewell_seconds,
            "last_words": settings.last_words_seconds,
            "warning": max(settings.max_call_seconds - settings.max_call_warning_seconds, 0.0),
            "call": min(settings.max_call_warning_seconds, settings.max_call_seconds),
        },
        media=MediaSettings(
            lead_ms=settings.carrier_lead_ms,
            mark_every_ms=settings.mark_every_ms,
            reorder_frames=settings.reorder_frames,
            join_ms=settings.join_ms,
            warm_up_ms=settings.warm_up_ms,
            start_seconds=settings.start_frame_seconds,
            write_seconds=settings.write_seconds,
            reply_seconds=settings.reply_seconds,
            patience_seconds=settings.patience_seconds,
            filler_seconds=settings.filler_seconds,
            min_interruption_ms=settings.min_interruption_ms,
            deaf_after_ms=max(1500, settings.vad_prefix_padding_ms + 1200),
            unended_after_ms=max(2500, settings.vad_silence_ms + 1500) if by_silence else _SEMANTIC_MS,
        ),
    )


def _clips(settings: Settings, profile: str) -> Mapping[str, clips.Clip]:
    try:
        return clips.load(settings.clip_language)
    except OSError:
        where = f"settings.toml, profile {profile}" if profile else settings.origin("clip_language")
        what = "there are no clips in that language, only in " + ", ".join(f'"{each}"' for each in clips.languages())
        raise SettingsError([f'CLIP_LANGUAGE="{settings.clip_language}" ({where}): {what}']) from None


_SEMANTIC_MS = 9000
"""A model that listens for meaning may think about a pause for eight seconds."""
NOBODY = Caller("", "", "")


@dataclass(frozen=True)
class Rules:
    """How calls are conducted under what is kept just now."""

    kept: Mapping[str, Any]
    """By names of settings, in their proper form: see `callflow.kept_settings`."""
    settings: Settings
    profiles: Profiles
    plans: Mapping[str, Plan]


_MOST_EARLIER: Final = 8


class House:
    """What the settings make for all calls: a plan for each profile, the tools, and the engine's account.

    Raises SettingsError, ToolsError.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.tools = ToolShelf(settings_places.tools_file(settings))
        self.account = Account()  # profiles have neither key nor address of their own
        self.rules = self.rules_under({})
        self._earlier: dict[str, Rules] = {}
        self.redactor = redactor(settings)
        self._secrets = secrets_of(settings)

    def rules_under(self, kept: Mapping[str, Any]) -> Rules:
        """Reads files. Raises SettingsError."""
        settings = kept_settings.effective(self.settings, kept)
        profiles = Profiles(settings)
        plans = {name: make_plan(chosen, self.account, name, kept) for name, chosen in profiles.all().items()}
        return Rules(kept, settings, profiles, plans)

    def prepare(self, kept: Mapping[str, Any]) -> None:
        """For a call that began while this was kept. Reads files."""
        key = json.dumps(kept, sort_keys=True)
        if kept == self.rules.kept or key in self._earlier:
            return
        usable, _ = kept_settings.decode({name: json.dumps(value) for name, value in kept.items()}, self.settings)
        try:
            rules = self.rules_under(usable)
        except SettingsError as error:
            log.error("what was kept when a call began cannot be used any more: %s", error)
            rules = self.rules
        while len(self._earlier) >= _MOST_EARLIER:
            self._earlier.pop(next(iter(self._earlier)))
        self._earlier[key] = rules

    def plan(self, to_number: str, kept: Mapping[str, Any] | None = None) -> Plan:
        """How a call to this number is conducted. `kept`: what was when it began, if that was prepared; None: what is
        now."""
        rules = self.rules
        if kept is not None and kept != rules.kept:
            rules = self._earlier.get(json.dumps(kept, sort_keys=True), rules)
        return rules.plans[rules.profiles.name_for(to_number)]

    def start(self) -> None:
        """With the server: what goes on beside the calls."""
        self.account.start()

    async def close(self) -> None:
        """Once no call is left."""
        await self.account.close()

    def _tool_choice(self, chosen: Settings) -> list[str]:
        tools = CallTools(self.tools.current(), NOBODY, {"end_call": print}).shown
        if chosen.tool_choice in ("auto", "none", "required") or chosen.tool_choice in (
            one.get("name") for one in tools
        ):
            return []
        return [f'tool_choice "{chosen.tool_choice}" is not used: there is no tool of that name']

    @property
    def warnings(self) -> list[str]:
        """What was asked for and will not be, and models that are about to go."""
        rules = self.rules
        found = list(rules.profiles.warnings)
        today = datetime.now().astimezone().date()
        for name, chosen in rules.profiles.all().items():
            about = session_config.warnings(engine_config(chosen))
            for model in (chosen.model, chosen.transcription_model):
                about += [warning] if (warning := models.shutdown_warning(model, today)) else []
            about += self._tool_choice(chosen)
            about += remote_tools.leave(self.tools.current().remote, chosen.mcp_approval)
            found += [f"profile {name}: {line}" if name else line for line in about if name == "" or line not in found]
        return found

    def _mint(self) -> Mint:
        """Raises SettingsError where the data folder cannot be used."""
        try:
            return Mint.in_folder(Path(self.settings.data_dir))
        except OSError as error:
            raise SettingsError([settings_places.cannot_use(self.settings, error)]) from None

    def checked(self, changes: Mapping[str, Any]) -> session_changes.Asked:
        """As `session_changes.read`."""
        return session_changes.read(changes, self._secrets)

    def rooms(self, switchboard: Switchboard, journal: Journal, live: Live, address: Callable[[], str]) -> Rooms:
        return Rooms(
            journal=journal,
            live=live,
            plan=self.plan,
            make_toolbox=lambda caller, acts: CallTools(self.tools.current(), caller, acts),
            mint=self._mint(),
            journal_seconds=self.settings.journal_seconds,
            address=address,
            now=time.time,
            outlive=switchboard.outlive,
            number=self.rules.profiles.numbers.told,
            redact=self.redactor,
            recordings=Path(self.settings.data_dir) / "recordings",
        )
