"""The scripts that a newcomer starts first, and the files they install from."""

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement


ROOT = Path(__file__).parents[1]
SCRIPTS = ["setup", "demo", "test", "lint", "bench", "vendor"]


@pytest.mark.parametrize("file", [*(f"scripts/{name}" for name in SCRIPTS), ".ci/run"])
def test_a_script_can_be_run_and_has_no_syntax_error(file: str) -> None:
    path = ROOT / file
    shebang = path.read_text(encoding="utf-8").partition("\n")[0]
    assert os.access(path, os.X_OK)
    assert shebang in ("#!/bin/sh", "#!/usr/bin/env bash")
    subprocess.run(["sh" if shebang == "#!/bin/sh" else "bash", "-n", str(path)], check=True)


def a_copy(folder: Path, python: str) -> Path:
    """A project in a folder with a space in its name, and a `python3` that is the given shell script."""
    root = folder / "a project"
    (root / "scripts").mkdir(parents=True)
    shutil.copy(ROOT / "scripts" / "setup", root / "scripts")
    (root / "pyproject.toml").write_text("")
    (root / "constraints.txt").write_text("")
    commands = folder / "bin"
    commands.mkdir()
    for name in ("sh", "cat", "cksum", "date", "dirname", "grep", "mkdir", "rm", "sleep", "tail"):
        commands.joinpath(name).symlink_to(str(shutil.which(name)))
    commands.joinpath("python3").write_text(f"#!/bin/sh\n{python}\n")
    commands.joinpath("python3").chmod(0o755)
    return root


def setup(root: Path, *extras: str, **environment: str) -> subprocess.CompletedProcess[str]:
    path = str(root.parent / "bin")
    command = [str(root / "scripts" / "setup"), *extras]
    return subprocess.run(
        command, cwd="/", env={"PATH": path} | environment, capture_output=True, text=True, check=False, timeout=60
    )


def test_setup_says_what_to_do_without_a_new_enough_python(tmp_path: Path) -> None:
    root = a_copy(tmp_path, '[ "$1" = --version ] && echo Python 3.9.2 && exit 0; exit 1')
    done = setup(root)
    assert done.returncode == 1
    assert "Callflow needs Python 3.11 or newer; found: Python 3.9.2." in done.stderr
    assert not (root / ".venv").exists()


@pytest.mark.parametrize("apt", [True, False])
def test_setup_names_the_package_when_python_has_no_venv(tmp_path: Path, apt: bool) -> None:
    root = a_copy(tmp_path, f'case "$2" in *ensurepip*) exit 1;; esac; exec "{sys.executable}" "$@"')
    if apt:
        (tmp_path / "bin" / "apt-get").symlink_to("/bin/true")
    done = setup(root)
    version = f"python3.{sys.version_info.minor}"
    assert done.returncode == 1
    assert done.stderr.startswith(f"{version} lacks its modules venv and ensurepip")
    assert (f"sudo apt install {version}-venv" in done.stderr) is apt
    assert done.stderr.count("\n") == 2


# Plays python: makes an environment whose python is itself, and notes every call.
PRETENDER = """
echo "$*" >>"$LOG"
case "$*" in
*"-m venv"*) mkdir -p .venv/bin; cat "$0" >.venv/bin/python; /bin/chmod +x .venv/bin/python; rm -f .venv/callflow-*;;
*--editable*) [ -z "$BROKEN" ] || exit 1;;
esac
"""


def test_setup_installs_once_and_then_not_again(tmp_path: Path) -> None:
    root = a_copy(tmp_path, PRETENDER)
    log = tmp_path / "log"

    def calls(*extras: str, **environment: str) -> str:
        log.write_text("")
        setup(root, *extras, LOG=str(log), **environment)
        return log.read_text()

    first = calls()
    assert "-m venv --clear .venv" in first
    assert "--editable .\n" in first
    assert calls() == "", "nothing is run when everything is there"
    assert "--editable .[wav]\n" in calls("wav")
    assert calls("wav") == calls() == "", "what a sound file needs is beside what the server needs"
    with_tests = calls("test")
    assert "-m venv" not in with_tests
    assert "--editable .[test]\n" in with_tests
    assert calls("test") == calls("wav") == calls() == "", "what the tests need holds what the server needs"
    (root / "constraints.txt").write_text("a==1")
    assert "--editable .\n" in calls(), "a changed list is installed"


def test_setup_leaves_an_environment_behind_a_link_alone(tmp_path: Path) -> None:
    root = a_copy(tmp_path, PRETENDER)
    log, other = tmp_path / "log", tmp_path / "of another folder"
    log.write_text("")
    other.mkdir()
    (other / "callflow-unfinished").write_text("")
    (root / ".venv").symlink_to(other)
    done = setup(root, LOG=str(log))
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "rm .venv" in done.stderr
    assert log.read_text() == ""
    assert [path.name for path in other.iterdir()] == ["callflow-unfinished"]


def test_setup_makes_a_half_made_environment_anew(tmp_path: Path) -> None:
    root = a_copy(tmp_path, PRETENDER)
    log = tmp_path / "log"
    assert setup(root, LOG=str(log), BROKEN="yes").returncode != 0
    log.write_text("")
    assert setup(root, LOG=str(log)).returncode == 0
    assert "-m venv --clear .venv" in log.read_text()
    (root / ".venv" / "bin" / "python").unlink()
    assert setup(root, LOG=str(log)).returncode == 0, "as when the python it pointed to is gone"


@pytest.mark.process
@pytest.mark.parametrize(
    ("words", "extra"),
    [((), ""), (("--scenario", "tools"), ""), (("--wav", "a b.wav"), "wav"), (("--keep", "--wav=a.wav"), "wav")],
)
def test_the_demo_installs_what_reads_a_sound_file_when_it_is_given_one(
    words: tuple[str, ...], extra: str, tmp_path: Path
) -> None:
    root = a_copy(tmp_path, "exit 1")
    shutil.copy(ROOT / "scripts" / "demo", root / "scripts")
    python = root / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    for path, name in ((root / "scripts" / "setup", "setup"), (python, "python")):
        path.write_text(f'#!/bin/sh\nfor word in {name} "$@"; do echo "$word" >>"$LOG"; done\n')
        path.chmod(0o755)
    log = tmp_path / "log"
    environment = {"PATH": str(tmp_path / "bin"), "LOG": str(log)}
    subprocess.run([str(root / "scripts" / "demo"), *words], env=environment, check=True, timeout=60)
    setup_words = ["setup", extra] if extra else ["setup"]
    assert log.read_text().splitlines() == [*setup_words, "python", str(root / "server.py"), "demo", *words]


def test_setup_refuses_an_unknown_word(tmp_path: Path) -> None:
    done = setup(a_copy(tmp_path, "exit 1"), "everything")
    assert (done.returncode, done.stderr) == (2, "usage: scripts/setup [wav|otel|s3|test|dev]\n")


def test_a_test_that_had_to_be_repeated_is_noted_and_one_that_is_noted_twice_fails(tmp_path: Path) -> None:
    (tmp_path / ".ci").mkdir()
    (tmp_path / "tests").mkdir()
    shutil.copy(ROOT / ".ci" / "repeated.py", tmp_path / ".ci")
    noted, failed = tmp_path / "tests" / "repeated.txt", tmp_path / "lastfailed"
    noted.write_text("# date, name\n")
    failed.write_text('{"tests/test_a.py::test_b[with a space]": true}')

    def repeated(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(tmp_path / ".ci" / "repeated.py"), *words]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    assert repeated("check").returncode == 0
    first = repeated("note", str(failed))
    assert first.returncode == 0
    assert "tests/test_a.py::test_b[with a space]" in first.stdout
    second = repeated("note", str(failed))
    assert second.returncode == 1
    assert "mend it" in second.stderr
    assert repeated("check").returncode == 1
    assert len(noted.read_text().splitlines()) == 3


def test_no_test_had_to_be_repeated_twice() -> None:
    assert subprocess.run([sys.executable, str(ROOT / ".ci" / "repeated.py"), "check"], check=False).returncode == 0


# --- What is installed


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_everything_that_the_project_names_is_pinned_once() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+(; sys_platform [!=]= \"win32\")?", pin) for pin in pins), pins
    pinned = [normal(pin.partition("==")[0]) for pin in pins]
    named = [
        *project["dependencies"],
        *(each for extra in project["optional-dependencies"].values() for each in extra),
        "hatchling",
        "editables",
    ]
    assert len(set(pinned)) == len(pinned)
    assert {normal(re.split(r"[<>=;\[]", name)[0]) for name in named} - {"callflow"} <= set(pinned)


def test_everything_that_is_needed_by_what_the_project_names_is_pinned() -> None:
    """What is pinned nowhere comes in the version of the day. What is not installed here is not looked into."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = {normal(line.partition("==")[0]) for line in lines if line and not line.startswith("#")}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    left = [
        Requirement(each)
        for named in (project["dependencies"], *project["optional-dependencies"].values())
        for each in named
    ]
    seen, by = set[tuple[str, str]](), dict[str, str]()
    while left:
        one = left.pop()
        name = normal(one.name)
        for extra in {"", *one.extras} - {extra for known, extra in seen if known == name}:
            seen.add((name, extra))
            with contextlib.suppress(metadata.PackageNotFoundError):
                for needed in map(Requirement, metadata.requires(name) or ()):
                    if needed.marker is None or needed.marker.evaluate({"extra": extra}):
                        by.setdefault(normal(needed.name), name)
                        left.append(needed)
    lacking = {name: by.get(name, "the project") for name, _ in seen if name not in {*pinned, "callflow"}}
    assert not lacking, "not pinned, and by what it is needed"


@pytest.mark.parametrize(
    "file", ["pyproject.toml", "constraints.txt", *(f"scripts/{name}" for name in SCRIPTS), ".ci/run"]
)
def test_no_package_registry_is_named(file: str) -> None:
    text = (ROOT / file).read_text(encoding="utf-8")
    assert not re.search(r"index-url|pypi|find-links|https?://", text, re.IGNORECASE)


@pytest.mark.parametrize("failing", ["", "fast", "slow", "exhaustive", "alone"])
def test_what_fails_in_any_part_is_the_result_of_all(tmp_path: Path, failing: str) -> None:
    """`scripts/test` runs its parts one after the other; a later one that passes must not hide an earlier one."""
    root = tmp_path / "a project"
    (root / "scripts").mkdir(parents=True)
    (root / ".venv" / "bin").mkdir(parents=True)
    shutil.copy(ROOT / "scripts" / "test", root / "scripts")
    broken = failing or "nothing"
    pytest_of_it = f'#!/bin/sh\ncase " $* " in *" {broken} "* | *" --{broken} "*) echo broken; exit 1 ;; esac\nexit 0\n'
    for name, text in (("scripts/setup", "#!/bin/sh\n"), (".venv/bin/python", pytest_of_it)):
        (root / name).write_text(text)
        (root / name).chmod(0o755)
    env = {name: value for name, value in os.environ.items() if name != "FAST_TESTS_PASSED"}  # as CI sets it
    done = subprocess.run(
        [root / "scripts" / "test"], capture_output=True, text=True, check=False, timeout=60, env=env
    )  # fmt: skip
    assert done.returncode == (1 if failing else 0), done.stdout
    assert ("broken" in done.stdout) == bool(failing)
