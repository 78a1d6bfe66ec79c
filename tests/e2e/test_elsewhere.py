"""Callflow lies in one folder, and is started in another: what it reads, and what it says about that."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from callflow.sandbox.openai_realtime import Realtime
from callflow.sandbox.telnyx import Telnyx
from tests.e2e.process import ROOT, Process, environment, python


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the program, with settings, tools and a record of its own."""
    folder = tmp_path_factory.mktemp("callflow")
    for name in ("callflow", "carriers"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "server.py", folder)
    (folder / "settings.toml").write_text('voice = "cedar"\n[profile.sales]\nnumbers = ["+15550100002"]\n')
    (folder / ".env").write_text("PORTT=7\nMODEL=gpt-realtime\n")
    (folder / "tools.py").write_text("tools = []\n")
    (folder / "data").mkdir()
    (folder / "data" / "callflow.db").touch()
    return folder


def keys() -> dict[str, object]:
    return environment(Telnyx(webhook_url="http://127.0.0.1:9/webhooks", api_key="KEY_sandbox"), Realtime())


async def checked(home: Path, files: Mapping[str, str] | None = None, *, remove: Sequence[str] = ()) -> Process:
    """What `--check` says in another folder, with these files in it."""
    env = keys() | {"COLUMNS": "300"}
    async with python("-c", _START, str(home), *remove, files=files, env=env) as process:
        assert await process.ended(30) == 0, process.said()
        return process


_START = """
import os, runpy, sys
from pathlib import Path
home, *remove = sys.argv[1:]
for name in remove:
    Path(name).unlink()
sys.argv = [f"{home}/server.py", "--check"]
sys.path.insert(0, home)
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.mark.proof
async def test_each_file_is_read_where_it_is_found_first_and_said(home: Path) -> None:
    both = await checked(home, remove=(".env", "settings.toml"))
    for path in (home / "settings.toml", home / ".env", home / "tools.py", both.folder / "data"):
        assert f" {path} " in "".join(both.out), both.said()
    said = "".join(both.err)
    assert f'{home}/settings.toml: unknown key "profile" — did you mean "profiles"?' in said
    assert f'{home}/.env: unknown name "PORTT" — did you mean "PORT"?' in said
    assert f"A NEW RECORD OF THE CALLS BEGINS IN {both.folder}/data; the one in {home}/data is not used" in said

    one = await checked(home, remove=("settings.toml",))
    assert f" {one.folder / '.env'} " in "".join(one.out)
    assert f" {home / 'settings.toml'} " in "".join(one.out)
    assert "PORTT" not in one.said()


@pytest.mark.proof
async def test_what_the_tables_say_is_what_is_used(home: Path) -> None:
    here = await checked(home, {".env": "", "settings.toml": 'voice = "ash"', "tools.py": "tools = []\n"})
    rows = {line.split()[0]: line.split()[1:] for line in here.out if len(line.split()) > 2}
    assert rows["VOICE"] == ["ash", "settings.toml"]
    assert rows["MODEL"][1] == "default"
    assert f" {here.folder / 'tools.py'} " in "".join(here.out)
    assert "profile" not in "".join(here.err)


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({"DATA_DIR": "/proc/callflow"}, 'DATA_DIR="/proc/callflow" (environment) cannot be used'),
        ({"DATA_DIR": "mine.py"}, 'DATA_DIR="mine.py" (environment) cannot be used (mine.py is a file)'),
        ({"DATABASE_URL": "sqlite:///mine.py/x.db"}, "DATABASE_URL (environment) cannot be used (mine.py is a file)"),
        ({"TOOLS_FILE": "nope.py"}, 'TOOLS_FILE="nope.py" (environment) is not there'),
        ({"CLIP_LANGUAGE": "xx"}, 'CLIP_LANGUAGE="xx" (environment): there are no clips in that language'),
    ],
)
async def test_a_start_that_cannot_be_names_the_setting(env: dict[str, object], said: str) -> None:
    async with python(str(ROOT / "server.py"), env=keys() | env, files={"mine.py": ""}) as process:
        assert await process.ended(30) == 2
        assert said in process.said()
        assert process.said().count("\n") <= 2, process.said()


async def test_a_damaged_data_folder_names_the_setting() -> None:
    async with python("-c", _DAMAGED, str(ROOT), env=keys()) as process:
        assert await process.ended(30) == 2
        assert 'DATA_DIR="data" (default) cannot be used (data/stream.secret is damaged: delete it' in process.said()


_DAMAGED = """
import runpy, sys
from pathlib import Path
Path("data").mkdir()
Path("data/stream.secret").write_text("x")
sys.path.insert(0, sys.argv[1])
sys.argv = [f"{sys.argv[1]}/server.py"]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
