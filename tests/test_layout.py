"""The tree is the one of docs/architecture.md: its packages, how long a file may be, and no circle of imports.

Which package may import which stands in pyproject.toml and is checked by `lint-imports`, a part of `scripts/lint`.
"""

from __future__ import annotations

import ast
import builtins
import graphlib
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.source_facts import facts


ROOT: Final = Path(__file__).parents[1]
ENTRIES: Final = frozenset({
    "__init__.py", "__main__.py", "agent", "app.py", "call", "cli", "cluster", "config", "contracts", "engines",
    "history", "journal", "mcp", "media", "py.typed", "runtime.py", "sandbox", "switchboard", "telemetry", "timers.py",
    "tools", "web",
})  # fmt: skip
"""All that callflow/ may hold. A new package also needs its place among the layers in pyproject.toml."""
LONGEST: Final = 449
"""Lines of a file. A longer file is two modules."""
ERRORS: Final = ROOT / "callflow" / "contracts" / "errors.py"
OWN_ERRORS: Final = frozenset({"callflow/web/console/image_worker.py: Refused"})
"""Of programs that import nothing of ours."""
LONGER: Final = frozenset({"callflow/call/machine/table.py"})
"""A table may be read from top to bottom."""


def sources() -> list[Path]:
    return [ROOT / "server.py", *sorted(ROOT.glob("callflow/**/*.py")), *sorted(ROOT.glob("carriers/**/*.py"))]


def test_the_product_has_no_rooms_but_the_planned_ones() -> None:
    found = {path.name for path in (ROOT / "callflow").iterdir() if path.name != "__pycache__"}
    assert found - ENTRIES == set()
    assert len(ENTRIES) <= 22


def test_no_file_is_too_long() -> None:
    lines = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8").count("\n") for path in sources()}
    assert {name: count for name, count in lines.items() if count > LONGEST and name not in LONGER} == {}


def exception_classes(path: Path) -> Iterator[str]:
    """Classes of a file that extend an exception of Python's own."""
    for each in facts(path).classes:
        bases = [getattr(builtins, base, object) for base in each.bases]
        if any(isinstance(base, type) and issubclass(base, BaseException) for base in bases):
            yield f"{path.relative_to(ROOT)}: {each.name}"


@pytest.mark.exhaustive
def test_all_exception_classes_are_in_one_tree() -> None:
    apart = ROOT / "callflow" / "sandbox"  # imports nothing of the product, and refuses as each vendor does
    elsewhere = [path for path in sources() if path != ERRORS and apart not in path.parents]
    found = {name for path in elsewhere for name in exception_classes(path)}
    assert found - OWN_ERRORS == set(), "they belong into callflow/contracts/errors.py"
    assert list(exception_classes(ERRORS))


@pytest.mark.exhaustive
def test_every_public_class_says_what_it_is() -> None:
    silent = [
        f"{path.relative_to(ROOT)}: {each.name}"
        for path in sources()
        for each in facts(path).classes
        if is_public(each.name) and not each.docstring.strip()
    ]
    assert silent == []


def is_public(name: str) -> bool:
    return not any(part.startswith(("_", "<")) for part in name.split("."))


@pytest.mark.exhaustive
def test_every_public_function_says_what_it_does() -> None:
    """A method may leave that to the interface of which it is a part, or to the class that its own extends."""
    files = {path: facts(path) for path in sources() if "versions" not in path.parts}
    bases = {(path, each.name): each.bases for path, found in files.items() for each in found.classes}
    functions = [
        (path, *each.name.rpartition(".")[::2], each) for path, found in files.items() for each in found.functions
    ]
    interfaces = {name for (_, name), extended in bases.items() if "Protocol" in extended}
    told = {(within, name) for _, within, name, each in functions if each.docstring.strip()}
    silent = [
        f"{path.relative_to(ROOT)}: {each.name}"
        for path, within, name, each in functions
        if is_public(each.name) and not each.docstring.strip()
        if "Protocol" not in bases.get((path, within), ())
        if not any((base, name) in told for base in (interfaces if within else ()))
        if not any((base, name) in told for base in bases.get((path, within), ()))
        if not any(one.endswith((".setter", "overload")) for one in each.decorators)
    ]
    assert silent == []


def test_every_module_says_what_it_is() -> None:
    """Its first lines are where a reader looks for what it decides; `__init__.py` says so of its folder."""
    silent = [str(path.relative_to(ROOT)) for path in sources() if not path.read_bytes().startswith((b'"""', b'r"""'))]
    assert silent == []


@pytest.mark.exhaustive
def test_what_is_pure_imports_no_clock_no_socket_and_no_chance() -> None:
    """Time is an argument there, so that tables and every case can be tested."""
    rooms = (
        "contracts/**/*.py", "call/machine/*.py", "agent/turn_taking.py", "agent/barge_in.py", "media/playout.py",
        "cluster/destination.py",
    )  # fmt: skip
    found = {
        f"{path.relative_to(ROOT)}: {name}"
        for room in rooms
        for path in (ROOT / "callflow").glob(room)
        for node in facts(path).imports
        for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [each.name for each in node.names])
        if name.partition(".")[0] in {"asyncio", "random", "secrets", "socket", "threading", "time"}
    }
    assert found == set()


@pytest.mark.exhaustive
def test_timers_are_set_in_one_module() -> None:
    """Who sets a timer by itself has to remember to stop it: `callflow/timers.py` does, for all of an owner's."""
    apart = ROOT / "callflow" / "sandbox"  # imports nothing of the product
    elsewhere = [path for path in sources() if path != ROOT / "callflow" / "timers.py" and apart not in path.parents]
    found = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in elsewhere
        for name in facts(path).attributes & {"call_later", "call_at"}
    }
    assert found == set(), "use Timers or Timer of callflow/timers.py"


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(path: Path, modules: frozenset[str]) -> Iterator[str]:
    """Our modules that a file imports, wherever in it: also inside functions and under TYPE_CHECKING."""
    for node in facts(path).imports:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in modules)
        elif node.module:
            assert node.level == 0, f"{path}: imports are absolute"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield from [name for name in (inner, node.module) if name in modules][:1]


@pytest.mark.exhaustive
def test_no_module_imports_itself_by_way_of_others() -> None:
    files = {module_name(path): path for path in sources()}
    # The package's own lazy names, for `from callflow import tool`, are for users: no module of ours imports them.
    graph = {
        name: {other for other in imported(path, frozenset(files)) if name not in (other, "callflow")} - {"callflow"}
        for name, path in files.items()
    }
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        pytest.fail(f"a circle of imports: {' -> '.join(reversed(error.args[1]))}")


def test_every_page_that_llms_txt_names_is_there() -> None:
    page = ROOT / "docs" / "llms.txt"
    named = re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8"))
    assert named
    assert [target for target in named if not (page.parent / target).exists()] == []


def test_the_console_command_and_the_types_are_part_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["project"]["scripts"] == {"callflow": "callflow.__main__:main"}
    assert "callflow" in project["tool"]["hatch"]["build"]["targets"]["wheel"]["only-include"]
    assert (ROOT / "callflow" / "py.typed").exists()
