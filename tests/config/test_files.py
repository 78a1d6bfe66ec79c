"""The two files that settings are in: where they are found, and what is said about a line that cannot be read."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from callflow.cli.startup_report import check_table
from callflow.config import files, toml_errors
from callflow.config.loader import load
from callflow.config.paths import tools_file
from callflow.contracts.errors import SettingsError
from tests.cli.test_startup_report import printed, shown
from tests.config.test_settings import Here, here, problems


__all__ = ["here"]  # a fixture


@pytest.fixture
def beside(here: Here) -> Path:
    """Where Callflow lies; nothing is in it, and nothing in the current folder."""
    files.HOME.mkdir()
    return files.HOME


# Where they are found


def test_each_file_is_looked_for_here_and_then_beside_the_server(beside: Path) -> None:
    (beside / "settings.toml").write_text('voice = "cedar"\nport = 1')
    (beside / ".env").write_text("PORT=2")
    settings = load()
    assert (settings.voice, settings.port) == ("cedar", 2)
    assert settings.files == (beside / "settings.toml", beside / ".env")
    Path(".env").write_text("HOST=127.0.0.2")
    settings = load()
    assert (settings.voice, settings.port, settings.host) == ("cedar", 1, "127.0.0.2")
    assert settings.files == (beside / "settings.toml", Path.cwd() / ".env")
    Path("settings.toml").write_text("port = 3")
    settings = load()
    assert (settings.voice, settings.port) == ("marin", 3), "the first place that has a file wins, whole"
    assert settings.files == (Path.cwd() / "settings.toml", Path.cwd() / ".env")


def test_the_tables_name_the_files_that_were_read(beside: Path) -> None:
    (beside / "settings.toml").write_text("")
    Path(".env").write_text("")
    Path("mine.py").write_text("")
    settings = load({"tools_file": "mine.py"})
    for text in (printed(settings, width=300), shown(check_table(settings), width=300)):
        for path in (beside / "settings.toml", Path.cwd() / ".env", Path.cwd() / "mine.py", Path.cwd() / "data"):
            assert f" {path} " in text.replace("\n", " \n")
    assert "none: there is no tools.py" in printed(load(), width=300)
    nothing = load(toml=None, env_file=None)
    assert "no file: .env and settings.toml are not there" in shown(check_table(nothing), width=300)


def test_a_file_that_was_named_whole_is_that_file_or_none(beside: Path, tmp_path: Path) -> None:
    (beside / "settings.toml").write_text("port = 1")
    assert load(toml=tmp_path / "settings.toml", env_file=tmp_path / ".env").files == ()


def test_what_is_wrong_in_a_file_beside_the_server_is_said_with_its_whole_name(beside: Path) -> None:
    (beside / "settings.toml").write_text("vioce = 1")
    (beside / ".env").write_text("PORTT=1\nPORT")
    assert load().warnings == (
        f'{beside}/settings.toml: unknown key "vioce" — did you mean "voice"?',
        f"{beside}/.env, line 2: ignored, because it is not of the form NAME=value",
        f'{beside}/.env: unknown name "PORTT" — did you mean "PORT"?',
    )


def test_tools_are_looked_for_here_and_then_beside_the_server(beside: Path) -> None:
    assert tools_file(load()) == Path("tools.py")
    (beside / "tools.py").write_text("")
    assert tools_file(load()) == beside / "tools.py"
    Path("tools.py").write_text("")
    assert tools_file(load()) == Path("tools.py")


@pytest.mark.parametrize("name", ["settings.toml", ".env"])
def test_a_link_to_nothing_is_named(name: str, beside: Path) -> None:
    Path(name).symlink_to("nowhere")
    assert problems() == [f"{name} is a link to a file that is not there: nowhere"]


def test_a_file_of_another_encoding_is_named(here: Here) -> None:
    (here() / ".env").write_bytes("PORT=7".encode("utf-16-le"))
    assert problems() == [".env, line 1: not UTF-8 text; save the file as UTF-8"]


# Lines of .env


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("PORT", "line 1: ignored, because it is not of the form NAME=value"),
        ("PORT 7", "line 1: ignored, because it is not of the form NAME=value"),
        ("=7", "line 1: ignored, because it is not of the form NAME=value"),
        ("PORT: 7", "line 1: ignored, because between a name and its value stands =, not a colon"),
        ("set PORT=7", 'line 1: ignored, because it begins with "set"; a line is NAME=value'),
        ("[server]=7", "line 1: ignored, because what stands before its = is no name"),
        ('\n\nVOICE="cedar\nHOST=127.0.0.3',
         'line 3: ignored, because the quote of VOICE is not closed: " is missing at its end'),
        ("VOICE='cedar\nHOST=127.0.0.3",
         "line 1: ignored, because the quote of VOICE is not closed: ' is missing at its end"),
        ('VOICE="ce"dar',
         "line 1: ignored, because something stands behind the closing quote of VOICE; a comment begins with #"),
        ("PORT=7\n\nPORT=8", "line 3: PORT stands in line 1 already; this one is used"),
        ("port=7\nPORT=8", "line 2: PORT stands in line 1 already; this one is used"),
        ('INSTRUCTIONS="cedar\nHOST=1\nPORT=8"',
         "line 1: the value of INSTRUCTIONS goes on for 3 lines, and HOST is a part of it; close its quote"),
        ("VOICE=“cedar”",
         'line 1: the quotes of VOICE are typographic ones, and part of its value; use plain ones: "'),
        ("VOICE=a${NO_SUCH_NAME}",
         "line 1: VOICE names ${NO_SUCH_NAME}, and there is no such variable; nothing stands in its place"),
    ],
)  # fmt: skip
def test_a_line_of_env_that_is_not_used_as_it_stands_is_told(text: str, said: str, here: Here) -> None:
    here(env=text)
    (told,) = load().warnings
    assert told.startswith(f".env, {said}"), told


def test_what_follows_a_quote_that_is_not_closed_is_still_used(here: Here) -> None:
    here(env='VOICE="cedar\nPORT=7\nMODEL="x"\nHOST=127.0.0.3')
    settings = load()
    assert (settings.voice, settings.port, settings.model, settings.host) == ("marin", 7, "x", "127.0.0.3")


def test_the_usual_liberties_of_env_are_taken_in_silence(here: Here) -> None:
    here(env="export PORT = 7\nHOST='127.0.0.3' # here\n\n# x\nvoice=cedar\nMODEL=${voice}x\nGREETING=\"two\nlines\"")
    settings = load()
    assert (settings.port, settings.host, settings.voice) == (7, "127.0.0.3", "cedar")
    assert settings.greeting == "two\nlines"
    assert settings.warnings == ()


def test_the_last_line_of_a_name_in_any_case_wins(here: Here) -> None:
    here(env="PORT=1\nport=2\nPort=3")
    assert load().port == 3
    here(env="port=1\nPORT=2\nHOST=127.0.0.3\nport=3")
    assert load().port == 3


def test_a_secret_in_a_line_that_cannot_be_read_is_not_shown(here: Here) -> None:
    lines = ['sk-proj-Zq9vendor0123456789="x', 'OPENAI_API_KEY="Zq9secret', "A=${skZq9vendor0123456789}"]
    here(env="\n".join([*lines, "TELNYX_API_KEY: Zq9", "sk-proj-Zq9vendor0123456789=x"]))
    assert "Zq9" not in "\n".join(load().warnings)


# Lines of settings.toml


SLIPS = [
    ("voice = marin", 'must stand in quotes: voice = "marin"'),
    ("voice = marin # a comment", 'must stand in quotes: voice = "marin"'),
    ("turn_detection = server_vad", 'must stand in quotes: turn_detection = "server_vad"'),
    ('voice = "marin', 'quote of the text of voice is not closed: " is missing'),
    ("voice = 'marin", "quote of the text of voice is not closed: ' is missing"),
    ("voice = \"marin'", "begins with \" and ends with '"),
    ("voice = 'marin\"", "begins with ' and ends with \""),
    ("voice = “marin”", "typographic"),
    ('voice = ""marin""', "behind the closing quote of voice"),
    ('voice = "say "hi" now"', 'a quote within a text is written \\"'),
    ('voice = "marin" // cedar', "a comment begins with #"),
    ('voice = "marin" model = "x"', "needs a line of its own"),
    ('voice "marin"', "must be NAME = value"),
    ('voice: "marin"', "=, not a colon: voice = …"),
    ("voice =", "nothing stands behind the = of voice"),
    ("= 5", "no name before the ="),
    ("port == 7", "stands one ="),
    ("port = 7;", "remove the ; at the end of port"),
    ('voice = "x",', "remove the , at the end of voice"),
    ("record = True", "small letters: record = true"),
    ("record = FALSE", "small letters: record = false"),
    ("record = yes", "write true or false: record = true"),
    ("voice = None", "there is no such value"),
    ("answer_seconds = 10s", "without its unit, which the name says: answer_seconds = 10"),
    ("answer_seconds = 10 seconds", "answer_seconds = 10"),
    ("answer_seconds = 1,5", "with a point: answer_seconds = 1.5"),
    ("answer_seconds = .5", "digits on both sides"),
    ("port = 0600", "without leading zeros"),
    ("port = 1.2.3", "is no number"),
    ("// a comment", "a comment begins with #"),
    ("; a comment", "a comment begins with #"),
    ('export VOICE="a"', 'without "export"'),
    ('data_dir = "C:\\data"', "a backslash in data_dir must be written twice"),
    ('redact_patterns = "\\d+"', "between ''' and '''"),
    ('voice = "a"\nvoice = "b"', "voice stands in the file twice (the first time in line 2)"),
    ("[profiles.a]\n[profiles.a]", "a second time"),
    ("[profiles.sales", "between one [ and one ]"),
    ("[profiles.sales]]", "between one [ and one ]"),
    ("[[profiles.sales]", "between one [ and one ]"),
    ("[profiles sales]", "no blanks"),
    ("[]", "a table needs a name"),
    ('numbers = ["+1555"', "the [ is not closed with ] in numbers"),
    ('numbers = ["+1" "+2"]', "a comma is missing between two values of numbers"),
    ("numbers = [+1 555 0100]", 'stand in quotes: numbers = ["+15550100002"]'),
    ("numbers = [0015550100002]", 'stand in quotes: numbers = ["+15550100002"]'),
    ('numbers = "+1", "+2"', "several values stand in brackets"),
    ("numbers = [sales]", "stand in quotes, also in brackets"),
    ('voice = {a = "x"', "the { is not closed with } in voice"),
    ('instructions = """\nHello', 'does not end; close it with """'),
]


@pytest.mark.parametrize(("line", "said"), SLIPS)
def test_a_slip_in_settings_toml_is_told_with_its_line_and_what_to_do(line: str, said: str, here: Here) -> None:
    here(toml=f"# one\n{line}\n")
    (told,) = problems()
    place = 3 if "\n" in line and "instructions" not in line else 2
    assert told.startswith(f"settings.toml, line {place}: "), told
    assert said in told


def test_the_line_is_that_of_the_slip_and_not_where_the_parser_gave_up(here: Here) -> None:
    here(toml='port = 7\n[profiles.sales]\nnumbers = [\n  "+15550100002",\n\nvoice = "x"\n')
    assert problems()[0].startswith("settings.toml, line 3: the [ is not closed")
    here(toml='port = 7\ngreeting = """Hello\n\nvoice = "x"\nspeed = 1\n')
    assert problems()[0].startswith("settings.toml, line 2: the text that begins here")


@pytest.mark.parametrize(
    "line",
    ["openai_api_key = sk-proj-Zq9vendor0123456789", "console_token = Zq9hunter", 'console_token = "Zq9", "b"',
     'console_token = "Zq9', "sk-proj-Zq9vendor0123456789", 'sk-proj-Zq9vendor0123456789: "a"',
     "voice = sk-proj-Zq9vendor01",
     '"sk-proj-Zq9vendor0123" = 1\n"sk-proj-Zq9vendor0123" = 2'],
)  # fmt: skip
def test_a_slip_does_not_show_a_secret(line: str, here: Here) -> None:
    here(toml=line)
    with pytest.raises(SettingsError) as caught:
        load()
    assert "Zq9" not in str(caught.value)


def test_whatever_cannot_be_read_is_told_in_one_line(here: Here) -> None:
    """Every slip once more in any place of a file that is right otherwise."""
    good = 'port = 7\ngreeting = """\nHello\n"""\n[profiles.sales]\nnumbers = [\n  "+15550100002",\n]\n'.splitlines()
    for at in range(len(good) + 1):
        for slip, _ in SLIPS:
            text = "\n".join([*good[:at], slip, *good[at:]])
            try:
                tomllib.loads(text)
            except tomllib.TOMLDecodeError as error:
                line, what = toml_errors.explain(text, error)
                assert 1 <= line <= len(text.splitlines())
                assert what
                assert "\n" not in what
