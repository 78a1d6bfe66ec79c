"""The documentation says what the code does, where that can be checked."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

import server
from callflow.call import machine
from callflow.cli import diagram
from callflow.cli.arguments import make_parser
from callflow.config import legacy_names
from callflow.config.settings import ALIASES, Settings


ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
ARCHITECTURE = diagram.PAGE.read_text(encoding="utf-8")


def test_the_machine_in_the_documentation_is_the_one_that_runs() -> None:
    assert diagram.render(ARCHITECTURE) == ARCHITECTURE, f"the table has changed: run `{diagram.COMMAND}`"


def test_every_state_and_trigger_is_drawn() -> None:
    drawn = diagram.diagram() + diagram.rows()
    assert all(name in drawn for name in (*machine.STATES, *machine.TRIGGERS))
    assert len(diagram.rows().splitlines()) == len(machine.TABLE) + 2


def test_a_page_without_its_markers_is_refused() -> None:
    with pytest.raises(ValueError, match="must hold"):
        diagram.render("# A page\n")


def test_every_deadline_is_explained() -> None:
    assert all(f"| `{name}` |" in ARCHITECTURE for name in machine.DEADLINES)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_that_a_page_names_is_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    linked = [target for target in re.findall(r"\]\(([^)#:]+)\)", text) if target]
    missing = [target for target in linked if not (page.parent / target).exists()]
    named = re.findall(r"`((?:callflow|carriers|tests|docs|scripts)/[\w./-]+)`", text)
    missing += [name for name in named if not (ROOT / name).exists()]
    assert missing == []


# README


README = (ROOT / "README.md").read_text(encoding="utf-8")
SAMPLE = (ROOT / ".env.sample").read_text(encoding="utf-8")
_OF_OTHERS = {"GET", "POST", "MIT", "REFER", "TwiML", "REST", "HTTP", "SID"}


def variables(text: str) -> set[str]:
    """Names in capitals between backticks, `NAME` or `NAME=value`."""
    return set(re.findall(r"`([A-Z][A-Z0-9_]{3,})(?:=[^`]*)?`", text)) - _OF_OTHERS


def sampled() -> set[str]:
    return set(re.findall(r"^(?:# )?([A-Z][A-Z0-9_]+)=", SAMPLE, re.MULTILINE))


def understood() -> set[str]:
    """Every variable that the settings read: their own names, and those of earlier systems."""
    return (
        {name.upper() for name in Settings.model_fields} | {name.upper() for name in ALIASES} | set(legacy_names.NAMES)
    )


def test_every_variable_in_the_readme_exists() -> None:
    assert variables(README) - understood() == set()
    assert sampled() - understood() == set()


def test_every_variable_that_is_not_in_the_settings_file_is_in_the_readme_and_in_the_sample() -> None:
    file = tomllib.loads((ROOT / "settings.toml").read_text(encoding="utf-8"))
    ours = {name.upper() for name in Settings.model_fields if name not in file}
    assert ours - variables(README) == set(), "not in README.md"
    assert ours - sampled() == set(), "not in .env.sample"
    assert {name.upper() for name in ALIASES} - variables(README) == set(), "other names that are understood"


def commands() -> set[str]:
    return set(make_parser().commands())


def test_every_command_in_the_readme_exists_and_none_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    named = set(re.findall(r"server\.py ([a-z]+)", README))
    offered = commands()
    assert named == offered
    for name in offered:
        with pytest.raises(SystemExit) as caught:
            server.main([name, "--help"])
        assert caught.value.code == 0
    capsys.readouterr()
    scripts = {path.name for path in (ROOT / "scripts").iterdir() if path.is_file()}
    assert set(re.findall(r"scripts/(\w+)", README)) == scripts


def test_every_option_in_the_readme_exists(capsys: pytest.CaptureFixture[str]) -> None:
    helps = ""
    for words in ([], *([name] for name in commands())):
        with pytest.raises(SystemExit):
            server.main([*words, "--help"])
        helps += capsys.readouterr().out
    options = set(re.findall(r"`(?:[^`]*? )?(--[a-z-]+)", README)) - {"--help"}
    options -= set(re.findall(r'"(--[a-z-]+)"', (ROOT / "tests" / "conftest.py").read_text(encoding="utf-8")))
    assert [option for option in options if option not in helps] == []


def test_every_setting_in_the_readme_exists() -> None:
    named = set(re.findall(r"`([a-z]+(?:_[a-z]+)+)(?: = [^`]*)?`", README))
    assert named - set(Settings.model_fields) == set()
