"""What holds for one call: settings, then the profile of its number, then what was asked of it alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from callflow.config.loader import load
from callflow.config.profiles import Profiles
from callflow.config.settings import Settings
from callflow.contracts.errors import SettingsError
from tests.config.test_phone_numbers import SPELLINGS


def profiles(folder: Path, toml: str) -> Profiles:
    (folder / "settings.toml").write_text(toml, encoding="utf-8")
    return Profiles(load({}, toml=folder / "settings.toml", env_file=None))


SALES = """
voice = "ash"
greeting = "Say hello."

[profiles.sales]
numbers = ["+1 (555) 010-0002", "0015550100003"]
voice = "cedar"
no_input_seconds = 3
"""


@pytest.mark.parametrize("number", ["+15550100002", "+1 555 010 0002", "15550100003", "+15550100003"])
def test_a_number_in_any_spelling_has_its_profile(number: str, tmp_path: Path) -> None:
    one = profiles(tmp_path, SALES)
    chosen = one.for_call(number)
    assert (chosen.voice, chosen.no_input_seconds, chosen.greeting) == ("cedar", 3, "Say hello.")
    assert one.name_for(number) == "sales"


def test_any_other_number_has_the_settings_themselves(tmp_path: Path) -> None:
    one = profiles(tmp_path, SALES)
    for number in ("+15550100009", "", "anonymous"):
        assert one.for_call(number).voice == "ash"
        assert one.name_for(number) == ""


def test_a_line_that_is_closed_for_all_numbers_is_closed_for_every_profile(tmp_path: Path) -> None:
    """There was no single switch for an outage: profiles have hours of their own."""
    table = '[profiles.sales]\nnumbers = ["+15550100002"]\nhours = "mon-sun 0-24"\n'
    assert profiles(tmp_path, f'hours = "never"\n{table}').for_call("+15550100002").hours == "never"
    assert profiles(tmp_path, f'hours = "mon 9-10"\n{table}').for_call("+15550100002").hours == "mon-sun 0-24"


def test_what_is_asked_of_a_call_wins_and_is_checked(tmp_path: Path) -> None:
    one = profiles(tmp_path, SALES)
    chosen = one.for_call("+15550100002", {"voice": "verse"})
    assert (chosen.voice, chosen.no_input_seconds) == ("verse", 3)
    with pytest.raises(SettingsError) as caught:
        one.for_call("+15550100002", {"speed": 9, "openai_api_key": "sk-x", "vioce": "ash"})
    problems = "\n".join(caught.value.problems)
    assert "SPEED" in problems
    assert "openai_api_key holds for all calls" in problems
    assert "vioce is no setting" in problems
    assert "sk-x" not in problems


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ('numbers = ["+15550100002"]\nspeed = 9', "SPEED"),
        ('numbers = ["+15550100002"]\nport = 1', "port holds for all calls"),
        ('voice = "cedar"', "numbers must list"),
        ("", "numbers must list"),
        ("numbers = []", "numbers must list"),
        ("numbers = [true]", "numbers must list"),
        ("numbers = [1.5]", "numbers must list"),
        ('numbers = [["+15550100002"]]', "numbers must list"),
        ('numbers = [""]', "numbers must list"),
        ("numbers = {a = 1}", "numbers must list"),
        ('numbers = "+15550100002"', "numbers must list"),
    ],
)
def test_a_profile_that_cannot_be_used_stops_the_start(table: str, problem: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        profiles(tmp_path, f"[profiles.odd]\n{table}\n")
    (said,) = caught.value.problems
    assert problem in said
    assert "profile odd" in said


def test_a_number_belongs_to_one_profile(tmp_path: Path) -> None:
    twice = '[profiles.a]\nnumbers = ["+15550100002"]\n[profiles.b]\nnumbers = ["+1 555 0100002"]\n'
    with pytest.raises(SettingsError, match="belongs to profile a already"):
        profiles(tmp_path, twice)


def test_the_same_number_twice_in_one_profile_is_one(tmp_path: Path) -> None:
    one = profiles(tmp_path, '[profiles.a]\nnumbers = ["+15550100002", "+1 555 0100002"]')
    assert (one.name_for("+15550100002"), one.warnings) == ("a", [])


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        (
            '[profiles]\nnumbers = ["+15550100002"]',
            "numbers stands in [profiles], and a profile needs a name",
        ),
        ('[profiles]\nvoice = "cedar"', "voice stands in [profiles], and a profile needs a name of its own"),
        ('[profiles]\nsales = "+15550100002"', "profile sales: must be a table [profiles.sales]"),
        ('[profiles.""]\nnumbers = ["+15550100002"]', "a profile needs a name"),
        ('[[profiles.sales]]\nnumbers = ["+15550100002"]', "a profile is a table [profiles.sales] in single brackets"),
    ],
)
def test_what_stands_in_the_place_of_a_profile_is_told(toml: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        profiles(tmp_path, toml)
    (told,) = caught.value.problems
    assert told.startswith("settings.toml")
    assert said in told


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ('number = ["+15550100003"]', '"number" — did you mean "numbers"?'),
        ('Voice = "cedar"', '"Voice" — did you mean "voice"?'),
        ("[profiles.a.vad]\nsilence_ms = 3", '"vad" — a profile holds settings, and no further tables'),
        ("zzzz = 3", '"zzzz"'),
    ],
)
def test_a_key_of_a_profile_that_is_none_is_told_with_what_was_meant(key: str, said: str, tmp_path: Path) -> None:
    one = profiles(tmp_path, f'[profiles.a]\nnumbers = ["+15550100002"]\n{key}\n')
    assert one.warnings == [f"settings.toml, profile a: unknown key {said}"]


NO_MATCH = "and no call will match it"


@pytest.mark.parametrize(
    ("number", "said"),
    [
        ("5550100002", "has no country code and is read as +15550100002"),
        ("(555) 010-0002", "has no country code and is read as +15550100002"),
        ("+1555", NO_MATCH),
        ("+15550100", NO_MATCH),
        ("555 0100", NO_MATCH),
        ("+155501000022222", NO_MATCH),
        ("+999123456789", NO_MATCH),
        ("12345678901234567", NO_MATCH),
        ("1-800-FLOWERS", NO_MATCH),
        ("+1-800-FLOWERS", NO_MATCH),
        ("the sales line", NO_MATCH),
        ("+15550100002,+15550100003", NO_MATCH),
        ("+15550100002 or 03", NO_MATCH),
    ],
)
def test_a_number_that_may_not_be_the_one_that_was_meant_is_told(number: str, said: str) -> None:
    (told,) = Profiles(settings({"sales": {"numbers": [number]}})).warnings
    assert told.startswith("settings.toml, profile sales: ")
    assert number in told
    assert said in told


@pytest.mark.parametrize(
    "number",
    [
        "+15550100002",
        "15550100002",
        "001 555 010 0002",
        "tel:+15550100002",
        "1001",
        "*67",
        "sip:ann.lee@x",
        15550100002,
    ],
)
def test_any_other_number_is_taken_in_silence(number: str) -> None:
    assert Profiles(settings({"sales": {"numbers": [number]}})).warnings == []


def test_a_number_without_a_country_code_is_one_of_the_country_that_was_set() -> None:
    one = Profiles(settings({"sales": {"numbers": ["5550100002"]}}, default_country="US"))
    assert one.name_for("+15550100002") == "sales"
    assert one.warnings == []
    guessed = Profiles(settings({"sales": {"numbers": ["+4930901820", "5550100002"]}}))
    assert "is read as +495550100002; write it so, or set default_country" in guessed.warnings[0]


def test_an_unknown_key_is_a_warning_with_the_nearest_name(tmp_path: Path) -> None:
    one = profiles(tmp_path, '[profiles.a]\nnumbers = ["+15550100002"]\nvioce = "ash"\n')
    assert one.warnings == ['settings.toml, profile a: unknown key "vioce" — did you mean "voice"?']


# The names of earlier systems


LEGACY: list[tuple[str, str, dict[str, Any]]] = [
    ("REALTIME_DEFAULT_MODEL", "gpt-realtime-2", {"model": "gpt-realtime-2"}),
    ("REALTIME_DEFAULT_VOICE", "cedar", {"voice": "cedar"}),
    ("REALTIME_DEFAULT_INSTRUCTIONS", "Be kind.", {"instructions": "Be kind."}),
    ("REALTIME_DEFAULT_PROMPT_ID", "pmpt_1", {"prompt_id": "pmpt_1"}),
    ("REALTIME_DEFAULT_PROMPT_VERSION", "3", {"prompt_version": "3"}),
    ("REALTIME_PROMPT_VERSION", "3", {"prompt_version": "3"}),
    ("REALTIME_DEFAULT_TOOL_CHOICE", "required", {"tool_choice": "required"}),
    ("REALTIME_TOOL_CHOICE", "none", {"tool_choice": "none"}),
    ("REALTIME_DEFAULT_MODALITIES", "text,audio", {"output_modalities": "audio"}),
    ("REALTIME_MODALITIES", "audio,text", {"output_modalities": "audio"}),
    ("REALTIME_DEFAULT_TEMPERATURE", "0.7", {"temperature": 0.7}),
    ("REALTIME_TEMPERATURE", "0.5", {"temperature": 0.5}),
    ("REALTIME_DEFAULT_MAX_OUTPUT_TOKENS", "800", {"max_output_tokens": 800}),
    ("REALTIME_MAX_OUTPUT_TOKENS", "900", {"max_output_tokens": 900}),
    ("REALTIME_TURN_DETECTION", "none", {"turn_detection": "none"}),
    ("REALTIME_VAD_THRESHOLD", "0.7", {"vad_threshold": 0.7}),
    ("REALTIME_VAD_PREFIX_MS", "100", {"vad_prefix_padding_ms": 100}),
    ("REALTIME_VAD_SILENCE_MS", "900", {"vad_silence_ms": 900}),
    ("REALTIME_VAD_SEMANTIC", "true", {"turn_detection": "semantic_vad"}),
    ("REALTIME_NOISE_REDUCTION", "far_field", {"noise_reduction": "far_field"}),
    ("REALTIME_TRANSCRIPTION_MODEL", "whisper-1", {"transcription_model": "whisper-1"}),
    ("REALTIME_TRANSCRIPTION_PROMPT", "Words.", {"transcription_prompt": "Words."}),
    ("REALTIME_TRANSCRIPTION_LANGUAGE", "de", {"transcription_language": "de"}),
    ("REALTIME_TRANSCRIPTION_LOGPROBS", "true", {"transcription_logprobs": True}),
    ("REALTIME_TRANSCRIPTION_ENABLED", "false", {"transcription_model": ""}),
    ("REALTIME_TRANSCRIBE_INPUT", "false", {"transcription_model": ""}),
    ("REALTIME_AUDIO_CODEC", "pcm16", {"engine_audio": "pcm24"}),
    ("REALTIME_WS_TIMEOUT_MS", "15000", {"engine_seconds": 15.0}),
    ("TWILIO_STARTUP_BUFFER_CHUNKS", "3", {"warm_up_ms": 150}),
    ("TWILIO_STARTUP_DELAY_S", "0.5", {"twilio_pause_seconds": 0.5}),
]


@pytest.mark.parametrize(("name", "value", "expected"), LEGACY, ids=[name for name, *_ in LEGACY])
def test_a_name_of_an_earlier_system_is_understood(
    name: str, value: str, expected: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    settings = load({}, toml=None, env_file=None)
    assert {key: getattr(settings, key) for key in expected} == expected
    (setting,) = expected
    assert settings.origin(setting) == f"environment, as {name}"
    idle = f"{setting.upper()} (environment, as {name}) does nothing"
    assert [line for line in settings.warnings if not line.startswith(idle)] == []


@pytest.mark.parametrize(
    "name",
    ["REALTIME_INPUT_AUDIO_RATE", "REALTIME_TRANSCRIPTION_SEGMENTS", "REALTIME_MODE", "REALTIME_TOOLS"],
)  # fmt: skip
def test_one_that_cannot_be_honoured_is_said(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "12345678")
    (said,) = load({}, toml=None, env_file=None).warnings
    assert said.startswith(f"{name} (environment) is not used: ")
    assert "12345678" not in said


def test_our_own_names_win_and_a_blank_is_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REALTIME_DEFAULT_VOICE", "ash")
    monkeypatch.setenv("VOICE", "verse")
    monkeypatch.setenv("REALTIME_MAX_OUTPUT_TOKENS", "")
    settings = load({}, toml=None, env_file=None)
    assert (settings.voice, settings.max_output_tokens) == ("verse", "inf")


# Numbers, however they are spelled


def settings(tables: dict[str, Any], **more: Any) -> Settings:
    made = Settings(**more)
    made._profiles = tables
    return made


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_number_finds_its_profile_in_every_spelling(spelling: str) -> None:
    one = Profiles(settings({"sales": {"numbers": ["+15550100002"], "voice": "cedar"}}))
    assert one.name_for(spelling) == "sales"
    assert Profiles(settings({"sales": {"numbers": [spelling], "voice": "cedar"}})).name_for("+15550100002") == "sales"


def test_an_extension_of_a_switchboard_finds_its_profile() -> None:
    one = Profiles(settings({"desk": {"numbers": ["1001"], "voice": "cedar"}}))
    assert one.name_for("sip:1001@198.51.100.7:5060;transport=udp") == "desk"
    assert one.name_for("sip:1002@198.51.100.7") == ""
    assert one.name_for("+15550101001") == ""


def test_numbers_without_a_country_code_are_those_of_our_own_numbers() -> None:
    ours = {"berlin": {"numbers": ["+4930901820"], "voice": "cedar"}, "desk": {"numbers": ["089 123456"]}}
    one = Profiles(settings(ours))
    assert one.numbers.country == "DE"
    assert one.name_for("+49 89 123456") == "desk"
    assert Profiles(settings({})).numbers.country == "US"
    assert Profiles(settings({}, default_country="fr")).numbers.country == "FR"


def test_a_country_that_is_none_is_a_problem() -> None:
    with pytest.raises(SettingsError, match=r"DEFAULT_COUNTRY .*: no country has the code XX"):
        Profiles(settings({}, default_country="XX"))
