"""The documentation says what the code does, where that can be checked."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from callflow import machine
from callflow.cli import diagram


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
