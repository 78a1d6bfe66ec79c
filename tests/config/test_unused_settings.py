"""Settings that do nothing because of another one, and files and folders that cannot be used."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from callflow.config import files
from callflow.config.loader import load
from callflow.config.preflight import check_serve
from callflow.config.profiles import Profiles
from tests.config.test_settings import PUBLIC_KEY, Here, here


__all__ = ["here"]  # a fixture


SID = "AC" + "1" * 32


@pytest.mark.parametrize(
    ("toml", "idle", "why"),
    [
        ('turn_detection = "semantic_vad"\nvad_silence_ms = 300', "VAD_SILENCE_MS", "turn_detection is"),
        ('turn_detection = "semantic_vad"\nvad_threshold = 0.7', "VAD_THRESHOLD", "turn_detection is"),
        ('vad_eagerness = "high"', "VAD_EAGERNESS", 'turn_detection is "server_vad"'),
        ('turn_detection = "none"\nvad_create_response = false', "VAD_CREATE_RESPONSE", 'turn_detection is "none"'),
        (
            'transcription_model = ""\ntranscription_language = "de"',
            "TRANSCRIPTION_LANGUAGE",
            "nothing is written down",
        ),
        ('greeting = ""\ngreeting_protected = true', "GREETING_PROTECTED", "there is no greeting"),
        ('prompt_version = "2"', "PROMPT_VERSION", "there is no prompt_id"),
        ("no_input_seconds = 0\nno_input_asks = 5", "NO_INPUT_ASKS", "no_input_seconds is 0"),
        ("max_call_seconds = 60\nmax_call_warning_seconds = 90", "MAX_CALL_WARNING_SECONDS", "max_call_seconds"),
        ("tool_timeout_seconds = 2\ntool_filler_after_ms = 3000", "TOOL_FILLER_AFTER_MS", "tool_timeout_seconds"),
        ("stream_tries = 0\nrestream_seconds = 9", "RESTREAM_SECONDS", "stream_tries is 0"),
        ('twilio_greeting_text = "Hi."', "TWILIO_GREETING_TEXT", "Twilio is off"),
        ('twilio_media_signature = "require"', "TWILIO_MEDIA_SIGNATURE", "Twilio is off"),
        ('stream_target_legs = "both"', "STREAM_TARGET_LEGS", "Telnyx is off"),
        (
            'model = "gpt-realtime"\nopenai_realtime_url = "wss://a.example/v1?model=other"',
            "MODEL",
            "names another one",
        ),
    ],
)
def test_what_another_setting_switches_off_is_told(toml: str, idle: str, why: str, here: Here) -> None:
    here(toml=toml)
    (told,) = load().warnings
    assert told.startswith(f"{idle} (settings.toml) does nothing, because ")
    assert why in told


def test_what_has_an_effect_in_a_profile_is_not_called_idle(here: Here) -> None:
    profile = '[profiles.live]\nnumbers = ["+15550100022"]'
    here(toml=f'delegation_model = "m"\nno_input_asks = 5\nno_input_seconds = 0\n{profile}\nengine = "openai_live"')
    (told,) = load().warnings
    assert told.startswith("NO_INPUT_ASKS (settings.toml) does nothing")


def test_several_are_told_in_one_line_each_with_where_it_stands(here: Here) -> None:
    here(toml="vad_silence_ms = 300", env="VAD_THRESHOLD=0.7\nREALTIME_TURN_DETECTION=semantic_vad")
    assert load().warnings == (
        'VAD_THRESHOLD (.env), VAD_SILENCE_MS (settings.toml) do nothing, because turn_detection is "semantic_vad"',
    )


def test_a_token_of_ngrok_is_told_where_no_tunnel_is_asked_for(here: Here) -> None:
    here(env="NGROK_AUTH_TOKEN=abcdefgh")
    assert "no tunnel is asked for" in load().warnings[0]
    assert load({"public": True}).warnings == ()


def test_what_is_about_events_is_told_where_none_are_sent(here: Here) -> None:
    here(toml="events_words = true", env=f"EVENTS_SECRET=whsec_{'A' * 40}")
    (told,) = load().warnings
    assert told == ("EVENTS_SECRET (.env), EVENTS_WORDS (settings.toml) do nothing, because there is no EVENTS_URL")
    assert load({"events_url": "https://you.example/"}).warnings == ()
    (line,) = load({"caller_lookup": "https://you.example/"}).warnings
    assert line.startswith("EVENTS_WORDS ")


def test_a_default_that_is_written_down_and_a_setting_that_works_are_not_told(here: Here) -> None:
    here(
        toml='turn_detection = "semantic_vad"\nvad_eagerness = "high"\nvad_silence_ms = 500\ntwilio_after_text = "Bye"',
        env=f"TWILIO_ACCOUNT_SID={SID}\nTWILIO_AUTH_TOKEN=0123456789abcdef0123456789abcdef",
    )
    assert load().warnings == ()


def test_in_a_profile_as_well(here: Here) -> None:
    here(
        toml='[profiles.sales]\nnumbers = ["+15550100002"]\nturn_detection = "semantic_vad"\nvad_silence_ms = 300\n'
        '[profiles.desk]\nnumbers = ["+15550100003"]\nvad_silence_ms = 300\n'
    )
    assert Profiles(load()).warnings == [
        'settings.toml, profile sales: VAD_SILENCE_MS does nothing, because turn_detection is "semantic_vad"'
    ]


# Files and folders


def ready(here: Here, env: str) -> list[str]:
    """What `serve` says of these settings, where everything else is as it must be."""
    here(env=f"OPENAI_API_KEY=sk-1\nTELNYX_API_KEY=KEY1\nTELNYX_PUBLIC_KEY={PUBLIC_KEY}\n{env}")
    return check_serve(load())


@pytest.fixture(autouse=True)
def places(here: Here) -> Path:
    folder = here()
    (folder / "a file").write_text("")
    (folder / "a folder").mkdir()
    (folder / "text.txt").write_text("")
    (folder / "mine.py").write_text("")
    return folder


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("nope.py", "is not there (in {here} or {home}): correct the name, or leave it out to have no tools"),
        ("a folder/nope.py", "is not there (in {here} or {home}): "),
        ("/no/such/nope.py", "is not there (in /no/such): "),
        ("a folder", "is a folder: name a Python file in it"),
        ("text.txt", "is no Python file: its name must end in .py"),
        ("tools.py", "is not there"),
    ],
)
def test_tools_that_were_asked_for_and_are_not_there_stop_the_start(value: str, said: str, here: Here) -> None:
    (told,) = ready(here, f"TOOLS_FILE={value}")
    where = {"here": str(Path.cwd()), "home": str(files.HOME)}
    assert told.startswith(f'TOOLS_FILE="{value}" (.env) {said.format(**where)}'), told


def test_tools_that_nobody_asked_for_may_be_absent(here: Here) -> None:
    assert ready(here, "") == []
    assert ready(here, "TOOLS_FILE=mine.py") == []


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("a file", "a file is a file"),
        ("a file/data", "{here}/a file is a file"),
        ("a file/data/deeper", "{here}/a file is a file"),
        ("/proc/data", "/proc may not be written to"),
    ],
)
def test_a_data_folder_that_cannot_be_used_is_told_by_its_setting(value: str, why: str, here: Here) -> None:
    (told,) = ready(here, f"DATA_DIR={value}")
    where = why.format(here=Path.cwd())
    assert told == f'DATA_DIR="{value}" (.env) cannot be used ({where}): name a folder that this user may write to'


def test_an_address_is_no_data_folder_and_is_not_shown(here: Here) -> None:
    (told,) = ready(here, "DATA_DIR=postgresql://u:Zq9secret@h/x")
    assert told.startswith("DATA_DIR=")
    assert "for a database server set DATABASE_URL" in told
    assert "Zq9" not in told


@pytest.mark.skipif(os.geteuid() == 0, reason="for root everything may be written")
def test_a_folder_that_may_not_be_written_to_is_told(here: Here) -> None:
    Path("a folder").chmod(0o500)
    (told,) = ready(here, "DATA_DIR=a folder")
    assert "a folder may not be written to" in told


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("sqlite:///a folder", "is a folder"),
        ("sqlite:///a file/x.db", "a file is a file"),
        ("sqlite:////proc/callflow/x.db", "/proc may not be written to"),
    ],
)
def test_a_database_file_that_cannot_be_used_is_told_by_its_setting(value: str, why: str, here: Here) -> None:
    (told,) = ready(here, f"DATABASE_URL='{value}'")
    assert told.startswith("DATABASE_URL (.env) cannot be used ("), told
    assert why in told


@pytest.mark.parametrize(
    "env",
    ["DATA_DIR=new/data", "DATABASE_URL=sqlite:///new/x.db", "DATA_DIR=a folder", "DATABASE_URL=postgresql://h/x"],
)
def test_folders_that_can_be_made_are_not_made_by_looking(env: str, here: Here) -> None:
    assert ready(here, env) == []
    assert not Path("new").exists()
    assert list(Path("a folder").iterdir()) == []


@pytest.mark.parametrize(
    "env", ["DATA_DIR=~/data", "DATA_DIR=$HOME/data", "TOOLS_FILE=~/tools.py", "DATABASE_URL=sqlite:///~/calls.db"]
)
def test_what_only_a_shell_knows_is_told(env: str, here: Here) -> None:
    (told,) = ready(here, env)
    assert told.startswith(env.partition("=")[0])
    assert told.endswith(" holds ~ or $, which only a shell knows: write the whole path")


# A record beside the server


def test_a_new_record_is_announced_where_there_is_one_beside_the_server(here: Here) -> None:
    home = files.HOME
    (home / "data").mkdir(parents=True)
    assert load().warnings == (), "there is no record in it"
    (home / "data" / "callflow.db").touch()
    (told,) = load().warnings
    assert told.startswith(
        f"DATA_DIR: A NEW RECORD OF THE CALLS BEGINS IN {Path.cwd()}/data; the one in {home}/data is not"
    )
    assert f"set DATA_DIR={home}/data" in told
    assert load({"data_dir": str(home / "data")}).warnings == ()
    assert load({"data_dir": "other"}).warnings == ()
    assert load({"database_url": "postgresql://h/x"}).warnings == ()
    Path("data").mkdir()
    assert load().warnings, "an empty folder is no record"
    Path("data/callflow.db").touch()
    assert load().warnings == ()
