"""The files in `deploy/`: each is used as an operator would use it, as far as that goes without systemd and without a
container's engine. haproxy.cfg has a file of its own, test_haproxy."""

from __future__ import annotations

import asyncio
import configparser
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import asyncpg
import pytest

from callflow.cli import workers
from callflow.cli.haproxy import EXAMPLE, FILE, Server
from callflow.config.settings import Settings
from tests.e2e.haproxy import program, short_folder
from tests.e2e.process import python, serving
from tests.e2e.scenes import exchange, model
from tests.history import postgres


ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
UNIT = DEPLOY / "callflow.service"
CONTAINER = (DEPLOY / "Containerfile").read_text(encoding="utf-8")
PAGE = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")


def unit() -> configparser.SectionProxy:
    found = configparser.ConfigParser(strict=False, interpolation=None)
    found.optionxform = str  # type: ignore[assignment, method-assign]
    found.read(UNIT, encoding="utf-8")
    return found["Service"]


def test_every_file_is_described_and_none_is_missing() -> None:
    there = {path.name for path in DEPLOY.iterdir()}
    assert set(re.findall(r"`deploy/([\w.]+)`", PAGE)) == there


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    path = shutil.which("systemd-analyze")
    if path is None:
        pytest.skip("systemd-analyze is not installed")
    # Its user and its program are on no machine where tests run.
    text = UNIT.read_text(encoding="utf-8")
    file = tmp_path / UNIT.name
    file.write_text(
        re.sub(
            r"^(User|Group)=.*",
            r"\1=root",
            re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", text, flags=re.MULTILINE),
            flags=re.MULTILINE,
        ),
        encoding="utf-8",
    )
    told = subprocess.run([path, "verify", str(file)], capture_output=True, text=True, check=False)
    assert (told.returncode, told.stdout, told.stderr) == (0, "", "")


def test_systemd_waits_longer_than_a_drain_takes() -> None:
    usual = Settings.model_fields
    drain = sum(
        usual[name].default for name in ("drain_seconds", "drain_seconds", "farewell_seconds", "transcript_seconds")
    )
    assert int(unit()["TimeoutStopSec"]) > drain + workers._END_SECONDS
    assert f"--stop-timeout {unit()['TimeoutStopSec']}" in CONTAINER


async def test_the_server_runs_and_stops_as_unit_and_container_have_it(tmp_path: Path) -> None:
    telnyx, realtime = exchange(), model()
    command = shlex.split(unit()["ExecStart"])
    assert command[0].endswith("/.venv/bin/python")
    name, value = unit()["Environment"].split("=")
    there = {name: value.replace("/var/lib", str(tmp_path))}
    script = str(ROOT / Path(command[1]).name)
    async with serving(telnyx, realtime, arguments=(script, *command[2:]), **there) as server:
        port = await server.public_port()
        check = json.loads(re.findall(r"HEALTHCHECK (?:.*\\\n)*\s*CMD (\[.*\])", CONTAINER)[0])
        assert check[0] == "python"
        for words, code in ((check[1:], 0), ([check[1], check[2].replace("/health", "/no-such")], 1)):
            words = [word.replace("127.0.0.1:6000", f"127.0.0.1:{port}") for word in words]
            checked = await asyncio.create_subprocess_exec(sys.executable, *words, stderr=subprocess.DEVNULL)
            assert await checked.wait() == code
        assert (tmp_path / "callflow" / "callflow.db").exists()
        assert unit()["KillSignal"] == re.findall(r"STOPSIGNAL (\w+)", CONTAINER)[0] == "SIGTERM"
        await server.stop()
        assert await server.ended() == 0


@pytest.mark.proof
async def test_the_package_is_whole_from_what_the_container_copies(tmp_path: Path) -> None:
    source, target = tmp_path / "src", tmp_path / "target"
    source.mkdir()
    for names in re.findall(r"^COPY (?!--from)(.+) \S+$", CONTAINER, re.MULTILINE):
        for each in names.split():
            if (ROOT / each).is_dir():
                shutil.copytree(ROOT / each, source / each, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(ROOT / each, source)
    words = (
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--target",
        str(target),
        str(source),
    )
    async with python(*words, anew=True) as pip:
        assert await pip.ended(60) == 0, pip.said()
    assert 'CMD ["callflow"]' in CONTAINER
    async with python("-m", "callflow", "--check", env={"PYTHONPATH": target, "HOST": "0.0.0.0"}, anew=True) as checked:
        assert await checked.ended(20) in (0, 2)
        assert "0.0.0.0" in checked.said()


def test_what_a_machine_has_of_its_own_is_taken_by_the_settings() -> None:
    sample = (DEPLOY / "node.env.sample").read_text(encoding="utf-8")
    own = {name.lower(): value for name, value in re.findall(r"^([A-Z_]+)=(.*)$", sample, re.MULTILINE)}
    assert own["cluster_secret"] == "", "a secret that everybody can read"
    settings = Settings(**own | {"cluster_secret": "s" * 32})
    assert set(own) <= settings.model_fields_set
    assert settings.cluster_problems(settings.media_server, settings.database_url, ()) == []
    assert Server(settings.node, f"{settings.host}:{settings.port}") in EXAMPLE, "the examples are of two clusters"


async def test_postgresql_takes_its_file() -> None:
    file = DEPLOY / "postgresql.conf"
    wanted = dict(re.findall(r"^(\w+) = (\S+)$", file.read_text(encoding="utf-8"), re.MULTILINE))
    assert len(wanted) > 10
    folder = await asyncio.to_thread(postgres.start, file)
    try:
        connection = await asyncpg.connect(postgres.address(folder).format(name="postgres"))
        try:
            rows = await connection.fetch("SELECT name, setting FROM pg_settings")
            found: dict[str, str] = {row["name"]: row["setting"] for row in rows}
            faults = await connection.fetch("SELECT name, error FROM pg_file_settings WHERE error IS NOT NULL")
        finally:
            await connection.close()
    finally:
        await asyncio.to_thread(postgres.stop, folder)
    # On a socket of this machine there is no TCP to be set; the other tests' servers need many connections.
    own = {"max_connections", *(name for name in wanted if name.startswith("tcp_"))}
    assert {name: found[name] for name in wanted if name not in own} == {
        name: value for name, value in wanted.items() if name not in own
    }
    assert own <= set(found)
    assert [fault["name"] for fault in faults] == []


def test_haproxy_takes_its_file(tmp_path: Path) -> None:
    path = program()
    text = FILE.read_text(encoding="utf-8")
    assert text.count("/etc/haproxy/callflow.pem") == 1
    key, file = tmp_path / "callflow.pem", tmp_path / "haproxy.cfg"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=phone.example",
         "-keyout", str(key), "-out", str(tmp_path / "chain")], check=True, capture_output=True,
    )  # fmt: skip
    key.write_text(key.read_text() + (tmp_path / "chain").read_text())
    text = text.replace("/etc/haproxy/callflow.pem", str(key)).replace("/run/haproxy/", f"{short_folder()}/")
    if os.geteuid() != 0:
        text = re.sub(r"    (user|group|chroot) .*\n", "", text)
    file.write_text(text, encoding="utf-8")
    told = subprocess.run([path, "-c", "-f", str(file)], capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr
    assert "WARNING" not in told.stdout + told.stderr
