"""`server.py haproxy`: what it prints, and which words it takes. A real HAProxy runs it in e2e/test_haproxy.py."""

from __future__ import annotations

import pytest

import server
from callflow.cli import haproxy


def said(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    try:
        code = server.main(["haproxy", *words])
    except SystemExit as stopped:
        code = int(stopped.code or 0)
    told = capsys.readouterr()
    return code, told.out, told.err


def test_the_file_of_the_example_is_what_the_command_prints(capsys: pytest.CaptureFixture[str]) -> None:
    words = [word for one in haproxy.EXAMPLE for word in ("--node", f"{one.name}={one.address}")]
    file = haproxy.FILE.read_text(encoding="utf-8")
    assert said(capsys, *words) == (0, file, ""), f"run `{haproxy.COMMAND}`"
    assert max(map(len, file.splitlines())) <= 120


def test_every_server_is_in_all_three_backends_and_tls_may_end_elsewhere(capsys: pytest.CaptureFixture[str]) -> None:
    _, text, _ = said(capsys, "--node", "a=h1:1", "--node", "berlin-2=[::1]:2", "--no-tls", "--bind", "127.0.0.1:80")
    assert [text.count(f"    server {each}") for each in ("a        h1:1", "berlin-2 [::1]:2")] == [3, 3]
    assert "    bind 127.0.0.1:80\n" in text
    assert "X-Forwarded-Proto" not in text, "it would say what the proxy before knows better"


@pytest.mark.parametrize("node", ["a", "a=h", "A=h:1", "a=h:0", "a=h:65536", "a=h:1 evil", "a-w1=h:1", "a=h:1\nx"])
def test_a_server_that_would_not_be_found_by_its_name_is_refused(node: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = said(capsys, "--node", node)
    assert (code, out, err.count("\n")) == (2, "", 1)


def test_two_servers_have_two_names(capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, "--node", "a=h:1", "--node", "a=h:2")[0] == 2
