"""The two files that settings are in: where they are found, and what is said about a line that cannot be read."""

from __future__ import annotations

from pathlib import Path

import pytest

from callflow.cli.startup_report import check_table
from callflow.config import files
from callflow.config.loader import load
from callflow.config.paths import tools_file
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
