"""Where a setting comes from, and what is said about a bad one."""

import base64
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import ValidationError

from callflow.config import files, legacy_names, suggestions
from callflow.config import validators as values
from callflow.config.loader import load
from callflow.config.setting_names import ALIASES, FORMER
from callflow.config.settings import SECRETS, Settings
from callflow.contracts.errors import SettingsError


ROOT = Path(__file__).parents[2]
PUBLIC_KEY = base64.b64encode(bytes(range(32))).decode()
Here = Callable[..., Path]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Here:
    """An empty working directory, nothing beside `server.py`, and no setting in the environment; `here(toml=…, env=…)`
    writes the two files."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(files, "HOME", tmp_path / "where Callflow lies")
    for name in list(os.environ):
        ours = name.lower() in Settings.model_fields or name.lower() in ALIASES or name.upper() in legacy_names.NAMES
        if ours or suggestions.is_for_us(name):
            monkeypatch.delenv(name)

    def write(toml: str = "", env: str = "") -> Path:
        (tmp_path / "settings.toml").write_text(toml, encoding="utf-8")
        (tmp_path / ".env").write_text(env, encoding="utf-8")
        return tmp_path

    return write


def problems() -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load()
    assert str(caught.value) == "\n".join(caught.value.problems)
    return caught.value.problems


def test_every_number_has_an_upper_bound_that_its_error_names(here: Here) -> None:
    for name, field in Settings.model_fields.items():
        if field.annotation not in (int, float):
            continue
        here(env=f"{name.upper()}={10**15}")
        (problem,) = problems()
        assert problem.startswith(f'{name.upper()}="{10**15}" (.env) must be '), problem
        assert re.search(r"(to|and) [0-9.]+( at most)?\b", problem), problem
        assert isinstance(field.default, (int, float))


# --- Where a value comes from


LAYERS = ["settings.toml", ".env", "environment", "command line"]


@pytest.mark.parametrize("layer", range(-1, len(LAYERS)))
def test_each_layer_wins_over_those_below_it(layer: int, here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    ports = {name: 7000 + i for i, name in enumerate(LAYERS)}
    here(
        toml=f"port = {ports['settings.toml']}" if layer >= 0 else "", env=f"PORT={ports['.env']}" if layer >= 1 else ""
    )
    if layer >= 2:
        monkeypatch.setenv("PORT", str(ports["environment"]))
    settings = load({"port": ports["command line"] if layer >= 3 else None})
    assert settings.port == (ports[LAYERS[layer]] if layer >= 0 else 6000)
    assert settings.origin("port") == (LAYERS[layer] if layer >= 0 else "default")


def test_layers_add_up_and_the_rest_stays_at_its_default(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    here(toml='voice = "cedar"\nmodel = "m"', env="MODEL=n\nHOST=0.0.0.0")
    monkeypatch.setenv("console_port", "0")
    settings = load({"data_dir": "d"})
    assert settings.model_dump(exclude_defaults=True) == {
        "voice": "cedar", "model": "n", "host": "0.0.0.0", "console_port": 0, "data_dir": "d",
    }  # fmt: skip
    assert not settings.warnings


def test_without_any_file_everything_is_default() -> None:
    assert load() == Settings() == load(toml=None, env_file=None)


def test_settings_made_in_code_read_nothing_and_are_frozen(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    here(toml="port = 1", env="PORT=2")
    monkeypatch.setenv("PORT", "3")
    settings = Settings()
    assert settings.port == 6000
    with pytest.raises(ValidationError):
        settings.port = 4
    with pytest.raises(ValidationError):
        Settings(vioce="x")  # type: ignore[call-arg]


@pytest.mark.parametrize("empty", ["", "  "])
def test_an_empty_variable_counts_as_not_set(empty: str, here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    here(toml='voice = "cedar"', env=f"GREETING={empty}\nPORT={empty}")
    monkeypatch.setenv("VOICE", empty)
    settings = load()
    assert (settings.voice, settings.greeting, settings.port) == ("cedar", Settings().greeting, 6000)


def test_empty_text_switches_off_where_it_was_written_on_purpose(here: Here) -> None:
    here(toml='transcription_model = ""')
    settings = load({"greeting": ""})
    assert (settings.transcription_model, settings.greeting) == ("", "")


ADDRESSES = {alias: name for alias, name in ALIASES.items() if name not in SECRETS and alias not in FORMER}


@pytest.mark.parametrize(("alias", "name"), ADDRESSES.items())
def test_an_alias_is_the_setting_itself_in_every_layer(
    alias: str, name: str, here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = "http://127.0.0.1:{}".format
    here(toml=f'{alias} = "{url(1)}"')
    assert getattr(load(), name) == url(1)
    here(toml=f'{name} = "{url(1)}"', env=f"{alias.upper()}={url(2)}")
    assert getattr(load(), name) == url(2)
    monkeypatch.setenv(alias.upper(), url(3))
    assert getattr(load(), name) == url(3)
    monkeypatch.setenv(name.upper(), url(4))
    assert getattr(load(), name) == url(4), "the proper name wins within one layer"


def test_an_override_that_is_no_setting_is_our_own_bug() -> None:
    with pytest.raises(TypeError, match="vioce"):
        load({"vioce": "x"})


@pytest.mark.process
def test_importing_the_settings_reads_nothing() -> None:
    script = "import callflow.config.settings, pathlib; pathlib.Path('seen').touch()"
    Path(".env").write_text("PORT=nonsense")
    environment = os.environ | {"PORT": "nonsense", "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", script], check=True, env=environment, timeout=60)
    assert Path("seen").exists()


# --- What a value becomes


def test_urls_lose_their_trailing_slash_and_keep_the_rest(here: Here) -> None:
    here(env="PUBLIC_BASE_URL=https://a.example:8443/\nTELNYX_API_BASE=http://127.0.0.1:9/v2/\n"
             "OPENAI_REALTIME_URL=ws://[::1]:9/v1/realtime?model=m")  # fmt: skip
    settings = load()
    assert settings.public_base_url == "https://a.example:8443"
    assert settings.telnyx_api_base == "http://127.0.0.1:9/v2"
    assert settings.openai_realtime_url == "ws://[::1]:9/v1/realtime?model=m"


def test_a_public_key_may_be_raw_or_spki() -> None:
    spki = base64.b64encode(bytes.fromhex("302a300506032b6570032100") + bytes(range(32))).decode()
    assert Settings(telnyx_public_key=PUBLIC_KEY).telnyx_public_key == PUBLIC_KEY
    assert Settings(telnyx_public_key=f" {spki}\n").telnyx_public_key == PUBLIC_KEY


def test_blanks_around_a_pasted_key_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", " sk-pasted\n")
    assert load().openai_api_key.get_secret_value() == "sk-pasted"


def test_a_file_from_windows_is_read(here: Here) -> None:
    folder = here()
    (folder / "settings.toml").write_bytes(b'\xef\xbb\xbfvoice = "cedar"\r\n')
    (folder / ".env").write_bytes(b"\xef\xbb\xbfPORT=7000\r\nLOG_LEVEL=DEBUG\r\n")
    settings = load()
    assert (settings.voice, settings.port, settings.log_level) == ("cedar", 7000, "debug")


# --- What is said about a value that cannot be used


WHOLE_MS = "must be a whole number of milliseconds"
SECONDS = "must be a number of seconds above 0, and 86400 at most"


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("PORT=six", 'PORT="six" (.env) must be a whole number from 0 to 65535, for example 6000'),
        ("PORT=65536", 'PORT="65536" (.env) must be a whole number from 0 to 65535, for example 6000'),
        ("PORT=1.5", 'PORT="1.5" (.env) must be a whole number from 0 to 65535, for example 6000'),
        ("MAX_CONCURRENT_CALLS=0",
         'MAX_CONCURRENT_CALLS="0" (.env) must be a whole number from 1 to 100000, for example 100'),
        ("ANSWER_SECONDS=0", f'ANSWER_SECONDS="0" (.env) {SECONDS}, for example 20'),
        ("ANSWER_SECONDS=nan", f'ANSWER_SECONDS="nan" (.env) {SECONDS}, for example 20'),
        ("JOURNAL_SECONDS=inf", f'JOURNAL_SECONDS="inf" (.env) {SECONDS}, for example 0.25'),
        ("PLAYOUT_LEAD_MS=19", f'PLAYOUT_LEAD_MS="19" (.env) {WHOLE_MS} from 20 to 30000, for example 400'),
        ("VAD_SILENCE_MS=-1", f'VAD_SILENCE_MS="-1" (.env) {WHOLE_MS} from 0 to 60000, for example 500'),
        ("VAD_IDLE_TIMEOUT_MS=x", f'VAD_IDLE_TIMEOUT_MS="x" (.env) {WHOLE_MS}, for example 0'),
        ("VAD_THRESHOLD=2", 'VAD_THRESHOLD="2" (.env) must be a number from 0 to 1, for example 0.5'),
        ("NOISE_REDUCTION=loud", 'NOISE_REDUCTION="loud" (.env) must be "near_field", "far_field" or "none"'),
        ("ALLOW_UNSIGNED_WEBHOOKS=maybe", 'ALLOW_UNSIGNED_WEBHOOKS="maybe" (.env) must be true or false'),
        ("LOG_LEVEL=loud", 'LOG_LEVEL="loud" (.env) must be "debug", "info", "warning" or "error"'),
        ("PUBLIC_URL=a.example",
         'PUBLIC_BASE_URL (.env, as PUBLIC_URL) must begin with https:// (or http:// for tests on one machine)'),
        ("PUBLIC_BASE_URL=https://a.example/voice",
         'PUBLIC_BASE_URL (.env) must be scheme and host only, such as https://phone.example.org'),
        ("PUBLIC_BASE_URL=https:///",
         'PUBLIC_BASE_URL (.env) is not a valid URL: it needs a host, and no spaces'),
        ("PUBLIC_BASE_URL=https://a:b",
         f"PUBLIC_BASE_URL (.env) {values.UNREADABLE}"),
        ("TELNYX_API_BASE=https://a/v2?x=1",
         'TELNYX_API_BASE (.env) must not have a query (the part from ? on)'),
        ("OPENAI_REALTIME_URL=https://a/v1",
         'OPENAI_REALTIME_URL (.env) must begin with wss:// (or ws:// for tests on one machine)'),
        ('OPENAI_REALTIME_URL="wss://a/v1#b"',
         'OPENAI_REALTIME_URL (.env) must not have a fragment (the part from # on)'),
    ],
)  # fmt: skip
def test_a_bad_value_gets_one_line_that_says_what_to_do(line: str, problem: str, here: Here) -> None:
    here(env=line)
    assert problems() == [problem]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("port = true", 'PORT="true" (settings.toml) must be a whole number from 0 to 65535, for example 6000'),
        ("voice = 3", 'VOICE="3" (settings.toml) must be text in quotes, and not empty'),
        ('model = ""', 'MODEL="" (settings.toml) must be text in quotes, and not empty'),
        ("greeting = false", 'GREETING="false" (settings.toml) must be text in quotes'),
        ('voice = "', "settings.toml, line 2: "),
        ("voice = cedar", "settings.toml, line 2: "),
        ("[voice", "settings.toml, line 2: "),
    ],
)
def test_a_bad_line_in_settings_toml_is_named(line: str, problem: str, here: Here) -> None:
    here(toml=f"# first\n{line}\n")
    (said,) = problems()
    assert said.startswith(problem)


def test_text_that_is_not_utf8_is_named(here: Here) -> None:
    (here() / "settings.toml").write_bytes(b'# one\nvoice = "\xff"\n')
    assert problems() == ["settings.toml, line 2: not UTF-8 text; save the file as UTF-8"]


def test_a_folder_in_place_of_a_file_is_named() -> None:
    Path("settings.toml").mkdir()
    Path(".env").mkdir()
    for said, name in zip(problems(), ("settings.toml", ".env"), strict=True):
        assert (
            said == f"{name} cannot be read: Is a directory; put a file in its place, or give the folder another name"
        )


def test_all_problems_are_told_at_once_with_their_origin(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    here(toml='voice = 3\nvioce = "x"', env="PORT=x")
    monkeypatch.setenv("HOST", "127.0.0.1")
    monkeypatch.setenv("CONSOLE_PORT", "-1")
    with pytest.raises(SettingsError) as caught:
        load({"log_level": "x"})
    assert sorted(re.findall(r"\((.*?)\) must", str(caught.value))) == sorted(LAYERS)
    assert caught.value.warnings == ['settings.toml: unknown key "vioce" — did you mean "voice"?']


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        ("not base64!", "this is not base64"),
        ("AAAA", "this has 3 bytes"),
        (base64.b64encode(bytes(44)).decode(), "this has 44 bytes"),
        ("KEY0123456789ABCDEF_x", "this looks like the API key"),
    ],
)
def test_a_bad_public_key_is_explained_and_not_echoed(value: str, hint: str, here: Here) -> None:
    here(env=f"TELNYX_PUBLIC_KEY={value}")
    (said,) = problems()
    assert said.startswith("TELNYX_PUBLIC_KEY (.env) must be the public key")
    assert said.endswith(hint)
    assert value not in said


@pytest.mark.parametrize("name", sorted(SECRETS))
@pytest.mark.parametrize(("value", "hint"), [("abc def", "a space"), ("abcd…", "a character"), ("'abcd", "in quotes")])
def test_a_bad_secret_is_explained_and_not_echoed(
    name: str, value: str, hint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name.upper(), value)
    (said,) = problems()
    assert said.startswith(f"{name.upper()} (environment) ")
    assert hint in said
    assert "abc" not in said


# --- What is said about a name that is none


def test_an_unknown_key_is_a_warning_with_a_suggestion(here: Here) -> None:
    here(toml='vioce = "cedar"\nzzzz = 1\n[ring]\nx = 1')
    assert load().warnings == (
        'settings.toml: unknown key "vioce" — did you mean "voice"?',
        'settings.toml: unknown key "zzzz"',
        'settings.toml: unknown key "ring" — there are no tables but [profiles.NAME]',
    )


def test_a_misspelt_name_in_env_is_a_warning_and_so_is_a_foreign_one(here: Here) -> None:
    here(env="OPENAI_API_KY=1\nPATH=/bin\nAWS_PROFILE=AK\nOPENAI_MAX_RETRIES=x")
    assert load().warnings == (
        '.env: unknown name "OPENAI_API_KY" — did you mean "OPENAI_API_KEY"?',
        '.env: unknown name "OPENAI_MAX_RETRIES"; it is not used',
        '.env: not used, because these are no settings of Callflow: "PATH", "AWS_PROFILE"',
    )


def test_a_line_in_env_that_is_no_assignment_is_a_warning(here: Here, caplog: pytest.LogCaptureFixture) -> None:
    here(env="# one\n\njust words\nPORT=7000\n")
    settings = load()
    assert settings.warnings == (".env, line 3: ignored, because it is not of the form NAME=value",)
    assert settings.port == 7000
    assert not caplog.records, "said once, not twice"


def test_a_secret_in_the_committed_file_is_a_warning(here: Here) -> None:
    here(toml='openai_api_key = "sk-abcdef"')
    (said,) = load().warnings
    assert said.startswith("settings.toml: openai_api_key is a secret")
    assert "abcdef" not in said


# --- The two files that come with the project


def test_the_committed_files_say_exactly_the_defaults_of_every_setting() -> None:
    in_toml = tomllib.loads((ROOT / "settings.toml").read_text(encoding="utf-8"))
    in_env = dict(
        re.findall(r"^(?:# )?([A-Z_]+)=(.*)$", (ROOT / ".env.sample").read_text(encoding="utf-8"), re.MULTILINE)
    )
    in_env = {name.lower(): value for name, value in in_env.items()}
    assert not in_toml.keys() & in_env.keys()
    assert in_toml.keys() | in_env.keys() == Settings.model_fields.keys()
    assert Settings.model_validate(in_toml | in_env) == Settings()


@pytest.mark.parametrize("file", ["settings.toml", ".env.sample"])
def test_every_setting_in_the_committed_files_has_a_comment(file: str) -> None:
    for block in re.split(r"\n\s*\n", (ROOT / file).read_text(encoding="utf-8")):
        if re.search(r"^(# )?(\w+ = |[A-Z_]+=)", block, re.MULTILINE):
            assert re.match(r"# \S+ \S+", block.lstrip()), block


def test_the_sample_is_not_mistaken_for_a_warning(here: Here) -> None:
    here(
        toml=(ROOT / "settings.toml").read_text(encoding="utf-8"),
        env=(ROOT / ".env.sample").read_text(encoding="utf-8"),
    )
    settings = load()
    assert settings.model_dump() == Settings().model_dump()
    assert not settings.warnings


def test_every_deadline_is_a_float_in_seconds() -> None:
    deadlines = [name for name in Settings.model_fields if name.endswith("_seconds")]
    assert deadlines
    assert all(Settings.model_fields[name].annotation is float for name in deadlines)
