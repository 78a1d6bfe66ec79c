"""The first moments of a command: with any Python, however soon it is interrupted, whoever reads what it prints."""

import ast
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from callflow import runtime
from callflow.cli.arguments import make_parser


ROOT = Path(__file__).parents[1]
BARE = (sys.executable, "-S", "-E")
"""A Python without packages."""


def run(*command: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=60)


def without_packages(folder: Path) -> Path:
    """A project nobody has set up. Returns its server.py."""
    (folder / "callflow" / "cli").mkdir(parents=True)
    for name in ("server.py", "callflow/__init__.py", "callflow/__main__.py", "callflow/runtime.py"):
        shutil.copy(ROOT / name, folder / name)
    return folder / "server.py"


def test_a_python_without_the_packages_goes_on_in_venv() -> None:
    if not (ROOT / ".venv" / "bin" / "python").exists():
        pytest.skip("the tests run in another environment than .venv")
    done = run(*BARE, str(ROOT / "server.py"), "calls", "--help", cwd=Path("/"))
    assert (done.returncode, done.stderr) == (0, "")
    assert "usage: server.py calls" in done.stdout


@pytest.mark.parametrize("words", [[], ["--help"], ["doctor"], ["demo"]])
def test_without_venv_one_line_says_what_to_run(tmp_path: Path, words: list[str]) -> None:
    done = run(*BARE, str(without_packages(tmp_path)), *words)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert "lacks the package" in done.stderr
    assert f"Run {tmp_path / 'scripts/setup'} once" in done.stderr


def test_an_environment_that_is_not_complete_is_named(tmp_path: Path) -> None:
    server = without_packages(tmp_path)
    run(sys.executable, "-m", "venv", "--without-pip", str(tmp_path / ".venv"))
    done = run(*BARE, str(server))
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "its environment .venv is not complete" in done.stderr


def test_a_python_that_is_too_old_is_told_so(tmp_path: Path) -> None:
    without_packages(tmp_path)
    done = run(
        sys.executable, "-c", "from callflow import runtime; runtime.OLDEST = (99, 0); runtime.begin()", cwd=tmp_path
    )
    assert done.returncode == 2
    assert "it is older than 99.0" in done.stderr
    for name in ("server.py", "callflow/runtime.py"):  # which an old one must be able to read
        ast.parse((ROOT / name).read_text(encoding="utf-8"), feature_version=(3, 8))


def test_every_package_is_looked_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    called = {
        "docstring-parser": "docstring_parser", "google-re2": "re2", "pillow": "PIL",
        "prometheus-client": "prometheus_client", "pydantic-settings": "pydantic_settings", "python-dotenv": "dotenv",
    }  # fmt: skip
    names = [one.split(">")[0].split("[")[0] for one in project["dependencies"] if ";" not in one]
    assert sorted(called.get(name, name) for name in names) == sorted(runtime.PACKAGES)


_LOADED = """
import sys, server
try:
    server.main(sys.argv[1:])
except SystemExit:
    pass
print([name for name in ("asyncio", "httpx", "pydantic", "quart", "rich", "sqlalchemy") if name in sys.modules])
"""


@pytest.mark.parametrize(
    "words", ["--help", "--version", "calls --help", "demo --help", "--prot 7", "--port x", "serv", "bench -1"]
)
def test_what_needs_no_program_loads_none(words: str) -> None:
    done = run(sys.executable, "-c", _LOADED, *words.split(), cwd=ROOT)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("words", ["", "demo", "doctor", "calls", "replay x", "sandbox telnyx", "bench"])
@pytest.mark.parametrize("at", ["callflow.cli", "argparse", "httpx", "asyncio.base_events"])
def test_ctrl_c_while_it_is_loaded_ends_it_without_a_word(words: str, at: str, tmp_path: Path) -> None:
    code = (
        "import os, runpy, signal, sys\n"
        "class Presses:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name.startswith({at!r}) and 'callflow.runtime' in sys.modules:\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Presses())\n"
        f"sys.argv = ['server.py', *{words.split()!r}]\n"
        f"runpy.run_path({str(ROOT / 'server.py')!r}, run_name='__main__')\n"
    )
    done = run(sys.executable, "-c", code, cwd=tmp_path)
    if done.returncode == 2:
        pytest.skip("it has ended before it got there")  # without settings, `serve` needs little
    assert (done.returncode, done.stderr) == (runtime.INTERRUPTED, "")


def test_a_reader_that_has_gone_is_no_error(tmp_path: Path) -> None:
    for words in (["--help"], ["calls", "--help"], ["--check"], ["demo", "--help"]):
        read, write = os.pipe()
        os.close(read)
        with subprocess.Popen(
            [sys.executable, str(ROOT / "server.py"), *words], stdout=write, stderr=subprocess.PIPE, cwd=tmp_path
        ) as process:
            os.close(write)
            _, said = process.communicate(timeout=60)
        assert b"Traceback" not in said
        assert b"BrokenPipe" not in said
        assert process.returncode in (0, 2, 141), said


def test_a_word_that_is_meant_is_suggested(capsys: pytest.CaptureFixture[str]) -> None:
    from callflow.cli.arguments import parse

    for words, meant in (
        (["--prot", "7"], "--port"), (["--prot=7"], "--port"), (["serve", "--hots", "::1"], "--host"),
        (["calls", "--numbr", "+1"], "--number"), (["replai", "x"], "replay"), (["sandbox", "twillio"], "twilio"),
        (["demo", "--senario", "tools"], "--scenario"), (["help"], "--help"), (["version"], "--version"),
        (["sandbox", "realtime", "--contol-port", "1"], "--control-port"),
    ):  # fmt: skip
        with pytest.raises(SystemExit) as caught:
            parse(words)
        assert caught.value.code == 2
        said = capsys.readouterr().err
        assert f"did you mean {meant}?" in said
        assert said.count("\n") == 1


def test_every_option_says_what_it_does_and_its_default() -> None:
    parsers = [make_parser()]
    while parsers:
        parser = parsers.pop()
        parsers += parser.commands().values()
        for action in parser._actions:
            if action.option_strings and action.nargs != 0:
                assert action.help
                told = parser.format_help()
                assert action.option_strings[-1] in told


@pytest.mark.proof
@pytest.mark.parametrize("is_set_up", [True, False])
def test_the_mcp_server_finds_its_packages_too(tmp_path: Path, is_set_up: bool) -> None:
    if is_set_up and not (ROOT / ".venv" / "bin" / "python").exists():
        pytest.skip("the tests run in another environment than .venv")
    home = ROOT if is_set_up else tmp_path
    if not is_set_up:
        without_packages(tmp_path)
        shutil.copytree(ROOT / "callflow" / "mcp", tmp_path / "callflow" / "mcp")
    done = subprocess.run(
        [*BARE, "-m", "callflow.mcp"],
        cwd=home,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        input="",
    )
    assert ("lacks the package" in done.stderr, done.returncode) == ((False, 0) if is_set_up else (True, 2)), (
        done.stderr
    )
    assert done.stdout == ""
