"""The documentation says what the code does, where that can be checked."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

import server
from callflow.call import machine
from callflow.cli import diagram
from callflow.cli.arguments import make_parser
from callflow.config import legacy_names
from callflow.config.setting_names import ALIASES, FORMER
from callflow.config.settings import Settings
from callflow.journal.notes import KINDS
from callflow.telemetry.metrics import NAMED, PROCESS
from callflow.web.console.request_body import MOST, MOST_BODY
from tests.source_facts import facts


ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
ARCHITECTURE = diagram.PAGE.read_text(encoding="utf-8")
OPERATIONS = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_no_page_holds_two_versions() -> None:
    marked = [
        page.name for page in PAGES if re.search(r"^(<<<<<<<|>>>>>>>) ", page.read_text(encoding="utf-8"), re.MULTILINE)
    ]
    assert marked == [], "a merge was not finished"


# The state machine in docs/architecture.md


@pytest.mark.exhaustive
def test_the_machine_in_the_documentation_is_the_one_that_runs() -> None:
    assert diagram.render(ARCHITECTURE) == ARCHITECTURE, f"the table has changed: run `{diagram.COMMAND}`"


def test_the_page_draws_the_machine_that_runs() -> None:
    assert diagram.MODULE.read_text(encoding="utf-8") == diagram.module(), f"run `{diagram.COMMAND}`"


@pytest.mark.exhaustive
def test_every_state_and_trigger_is_drawn() -> None:
    drawn = diagram.diagram() + diagram.rows()
    assert all(name in drawn for name in (*machine.STATES, *machine.TRIGGERS))
    assert len(diagram.rows().splitlines()) == len(machine.TABLE) + 2


@pytest.mark.exhaustive
def test_a_page_without_its_markers_is_refused() -> None:
    with pytest.raises(ValueError, match="must hold"):
        diagram.render("# A page\n")


def test_every_deadline_is_explained() -> None:
    assert all(f"| `{name}` |" in ARCHITECTURE for name in machine.DEADLINES)


# Names of files, and links


def folders(path: Path) -> set[str]:
    return {each.name for each in path.iterdir() if each.is_dir() and not each.name.startswith((".", "_"))}


TOP = {"callflow", "carriers", "docs", "examples", "scripts", "tests"}
PACKAGES = folders(ROOT / "callflow")
EVERY_FILE = {each.name for top in TOP for each in (ROOT / top).rglob("*.py")} | {each.name for each in ROOT.iterdir()}


SOURCES = [path for top in ("callflow", "carriers", "tests") for path in sorted((ROOT / top).rglob("*.py"))]
PAGE_SCRIPTS = sorted((ROOT / "callflow" / "web" / "console" / "static").glob("*.js"))


def missing_files(text: str) -> list[str]:
    """Files that are named between backticks, from the root of the repository or of `callflow/`, and are not there."""
    missing = []
    for name in re.findall(r"`((?:[\w.-]+/)+(?:[\w.-]+)?)(?:::\w+)?`", text):
        first = name.split("/")[0]
        if first in TOP | PACKAGES and not ((ROOT / name).exists() or (ROOT / "callflow" / name).exists()):
            missing.append(name)
    ours = text.partition("\n## Sources\n")[0]  # what follows lists files of other projects
    missing += [name for name in re.findall(r"`(\w+\.py)`", ours) if name not in {"tools.py", *EVERY_FILE}]
    return missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_that_a_page_names_is_there(page: Path) -> None:
    assert missing_files(page.read_text(encoding="utf-8")) == []


@pytest.mark.exhaustive
def test_every_file_that_a_docstring_names_is_there() -> None:
    missing: dict[str, list[str]] = {}
    near: dict[Path, set[str]] = {}
    for path in SOURCES:
        texts = facts(path).docstrings
        if path.parent not in near:
            near[path.parent] = {each.name for each in path.parent.iterdir()}
        found = [name for name in missing_files("\n".join(texts)) if name not in near[path.parent]]
        missing[path.name] = [name for name in found if not (path.parents[1] / name).exists()]
    assert {path: names for path, names in missing.items() if names} == {}


def named_in_code(text: str) -> set[tuple[str, str]]:
    """Class and member of each name with a capital between backticks; the member is empty where none is named."""
    return set(re.findall(r"`([A-Z][a-z]+(?:[A-Z][a-z]*)*)(?:\.(\w+))?(?:\(.*?\))?`", text))


@pytest.mark.exhaustive
def test_every_class_that_a_page_or_a_docstring_names_is_there() -> None:
    words = {word for path in SOURCES for word in facts(path).words}
    words |= set(re.findall(r"\w+", "".join(path.read_text(encoding="utf-8") for path in PAGE_SCRIPTS)))
    members: dict[str, set[str]] = {}
    for each in (each for path in SOURCES for each in facts(path).classes):
        members.setdefault(each.name.rpartition(".")[2], set()).update(each.words)
    named = {name for path in SOURCES for text in facts(path).docstrings for name in named_in_code(text)}
    named |= named_in_code(ARCHITECTURE)
    assert len(named) > 100
    assert sorted(name for name, _ in named if name not in words) == []
    assert (
        sorted(f"{name}.{member}" for name, member in named if member not in members.get(name, {member}) | {""}) == []
    )


def test_a_file_that_is_not_there_is_found() -> None:
    text = (
        "`media/relay.py`, `callflow/media/`, `carriers/registry.py`, `application/json`, `call/no_such.py`, `gone.py`"
    )
    assert missing_files(text) == ["call/no_such.py", "gone.py"]


def anchors(page: Path) -> set[str]:
    """The headings of a page as links name them."""
    heads = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        led = page.parent / path if path else page
        assert led.exists(), f"{page.name} links to {target}"
        assert not anchor or anchor in anchors(led), f"{page.name} links to {target}, which has no such heading"


def test_every_package_is_in_the_table_of_rooms() -> None:
    packages = [f"{name}/" for name in PACKAGES] + [f"carriers/{name}/" for name in folders(ROOT / "carriers")]
    modules = [each.name for each in (ROOT / "callflow").glob("*.py") if not each.name.startswith("__")]
    rooms = ARCHITECTURE.split("## Five walks")[0]
    assert [name for name in (*packages, *modules) if f"`{name}`" not in rooms] == []


def read_first() -> dict[Path, set[str]]:
    """The files of the column "read first" in the table of packages, by the package whose row it is."""
    found: dict[Path, set[str]] = {}
    for row in re.findall(r"^\| `.*\|$", ARCHITECTURE.split("**Imports point down only**")[0], re.MULTILINE):
        _, packages, _, files, _ = row.split("|")
        for package in re.findall(r"`([\w/]+)/`", packages):
            path = next(top / package for top in (ROOT / "callflow", ROOT) if (top / package).is_dir())
            found[path] = set(re.findall(rf"`{package}/([\w/.]+)`", files))
    return found


def test_a_package_names_what_to_read_first_as_the_table_does() -> None:
    assert len(read_first()) > 15
    missing = {
        f"{path.relative_to(ROOT)}: {name}"
        for path, files in read_first().items()
        for name in files
        if f"`{name}`" not in (path / "__init__.py").read_text(encoding="utf-8")
    }
    assert missing == set()


def test_every_library_is_in_the_table_of_libraries() -> None:
    libraries = ARCHITECTURE.split("## Libraries")[1]
    names = [re.split(r"[\[<>=; ]", each)[0] for each in PROJECT["dependencies"]]
    assert [name for name in names if f"`{name}`" not in libraries] == []


# The interfaces in docs/operations.md


def counts() -> set[str]:
    """What the switchboard counts for `/health`."""
    sources = (path.read_text(encoding="utf-8") for path in (ROOT / "callflow" / "switchboard").rglob("*.py"))
    return {name for source in sources for name in re.findall(r'counts\["(\w+)"\] \+=', source)}


def test_every_count_of_health_is_explained() -> None:
    (told,) = [line for line in OPERATIONS.splitlines() if line.startswith("| `counts` |")]
    assert len(counts()) > 10
    assert counts() - set(re.findall(r"`(\w+)`", told)) == set()


def test_every_bound_of_a_body_is_told() -> None:
    told = OPERATIONS.partition("Bodies for a session")[2].partition("path and query")[0]
    bounds = {
        f"{most >> 20} MiB" if most >= 1 << 20 else f"{most >> 10} KiB" for most in (MOST_BODY, *dict(MOST).values())
    }
    assert bounds == set(re.findall(r"\d+ [KM]iB", told))


# docs/reliability.md


def promised_tests() -> Iterator[tuple[str, str]]:
    text = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    yield from re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", text)


def test_every_test_that_proves_a_promise_exists() -> None:
    promised = list(promised_tests())
    assert len(promised) > 50
    found = {path: (ROOT / path).read_text(encoding="utf-8") for path, _ in promised if (ROOT / path).exists()}
    missing = [f"{path}::{name}" for path, name in promised if f"def {name}(" not in found.get(path, "")]
    assert missing == []


# docs/glossary.md


def test_the_glossary_is_in_the_order_of_the_alphabet_a_line_for_each_term() -> None:
    text = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    lines = text.partition("\n- ")[2].splitlines()
    found = [re.fullmatch(r"(?:- )?\*\*([^*]+)\*\*: .+\.", line) for line in lines]
    assert [line for line, match in zip(lines, found, strict=True) if match is None] == []
    terms = [match[1].lower() for match in found if match is not None]
    assert [f"{a} > {b}" for a, b in pairwise(terms) if a >= b] == []


# CHANGELOG.md


def test_every_kind_of_note_of_a_later_version_is_told() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    told = "".join(part for part in text.split("\n\n") if part.startswith("Compatibility:"))
    assert [kind for kind, note in KINDS.items() if note.version > 1 and f"`{kind}`" not in told] == []


def test_the_changelog_has_its_form_and_this_version() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    releases = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert all(re.fullmatch(r"\d+\.\d+\.\d+ \(\d{4}-\d\d-\d\d\)|Unreleased", name) for name in releases), releases
    assert any(name.startswith(f"{PROJECT['version']} (") for name in releases), "this version is not in it"
    assert set(re.findall(r"^### (.+)$", text, re.MULTILINE)) <= {"Added", "Changed", "Fixed", "Security"}
    for release in text.split("\n## ")[1:]:
        assert "Compatibility:" in release, f"{release.splitlines()[0]} says nothing on journal and schema"


# README.md and docs/operations.md


README = (ROOT / "README.md").read_text(encoding="utf-8")
FOR_OPERATORS = pytest.mark.parametrize("text", [README, OPERATIONS], ids=["README", "operations"])
SAMPLE = (ROOT / ".env.sample").read_text(encoding="utf-8")
_OF_OTHERS = {"GET", "POST", "PATCH", "DELETE", "MIT", "REFER", "TwiML", "REST", "HTTP", "SID", "SIGTERM", "SIGINT"}
_NO_SETTINGS = {
    "from_media",
    "from_model",
    "to_media",
    "to_model",
    "call_cost_in_webhooks",
    "call_ended",
    "input_text",
    "not_joined",
    "not_reached",
    "pause_recording",
    "resume_recording",
    "pause_requested",
    "recording_id",
    "at_once",
    "calls_per_second",
    "dry_run",
    "given_up",
    "message_left",
    "no_answer",
    "opt_out",
    "on_hold",
    "send_dtmf",
    "carrier_lag_ms",
    "network_ms",
    "ping_ms",
    "next_probe_in",
    "late_ms",
    "refuses_calls",
    "caller_number",
    "phone_number",
    "phone_number_sid",
    "created_at",
    "carrier_call",
    "started_at",
    "ended_at",
    "duration_seconds",
    "cause_text",
    "cost_usd",
    "tool_call",
    "opened_at",
    "closed_at",
    "closed_by",
}
"""Fields of answers."""


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


@FOR_OPERATORS
def test_every_variable_that_is_named_exists(text: str) -> None:
    assert variables(text) - understood() == set()
    assert sampled() - understood() == set()


def test_every_variable_that_is_not_in_the_settings_file_is_in_the_readme_and_in_the_sample() -> None:
    file = tomllib.loads((ROOT / "settings.toml").read_text(encoding="utf-8"))
    ours = {name.upper() for name in Settings.model_fields if name not in file}
    assert ours - variables(README) == set(), "not in README.md"
    assert ours - sampled() == set(), "not in .env.sample"
    assert {name.upper() for name in ALIASES.keys() - FORMER.keys()} - variables(README) == set(), (
        "other names that are understood"
    )


def commands() -> set[str]:
    return set(make_parser().commands())


def commands_in(text: str) -> set[str]:
    return set(re.findall(r"server\.py ([a-z]+)", text))


def test_every_command_in_the_readme_exists_and_none_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    offered = commands()
    assert commands_in(README) == offered
    assert commands_in(OPERATIONS) <= offered
    for name in offered:
        with pytest.raises(SystemExit) as caught:
            server.main([name, "--help"])
        assert caught.value.code == 0
    capsys.readouterr()
    scripts = {path.name for path in (ROOT / "scripts").iterdir() if path.is_file()}
    assert set(re.findall(r"scripts/(\w+)", README)) == scripts
    assert set(re.findall(r"scripts/(\w+)", OPERATIONS)) <= scripts


@FOR_OPERATORS
def test_every_option_that_is_named_exists(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    helps = ""
    for words in ([], *([name] for name in commands()), ["sandbox", "telnyx"], ["sandbox", "twilio"]):
        with pytest.raises(SystemExit):
            server.main([*words, "--help"])
        helps += capsys.readouterr().out
    options = set(re.findall(r"`(?:[^`]*? )?(--[a-z-]+)", text)) - {"--help"}
    options -= set(re.findall(r'"(--[a-z-]+)"', (ROOT / "tests" / "conftest.py").read_text(encoding="utf-8")))
    assert [option for option in options if option not in helps] == []


@FOR_OPERATORS
def test_every_setting_that_is_named_exists(text: str) -> None:
    named = set(re.findall(r"`([a-z]+(?:_[a-z]+)+)(?: = [^`]*)?`", text))
    assert named - set(Settings.model_fields) - _NO_SETTINGS - {*NAMED, *PROCESS} - counts() == set()


def test_every_line_of_the_log_that_is_quoted_is_in_the_code() -> None:
    section = OPERATIONS.split("## When something is wrong")[1].split("\n## ")[0]
    quoted = re.findall(r"^\| `([^`]+)`(?: in the log| at start)? \|", section, re.MULTILINE)
    assert len(quoted) >= 7
    code = "".join(
        path.read_text(encoding="utf-8") for top in ("callflow", "carriers") for path in (ROOT / top).rglob("*.py")
    )
    assert [part for line in quoted for part in line.split(" … ") if part not in code] == []
