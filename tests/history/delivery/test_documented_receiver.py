"""The receiver in docs/operations.md takes what is genuine, and nothing else."""

from __future__ import annotations

import os
import re
import threading
import time
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from callflow.history.delivery.receiver import Receiver
from callflow.history.delivery.signature import Signer
from tests.history.delivery.receiver import SECRET


pytestmark = pytest.mark.e2e
PAGE = Path(__file__).parents[3] / "docs" / "operations.md"
BODY = '{"id":"evt_1","type":"call.ended","call":"c","cause_text":"the line was busy: ü"}'


async def test_the_documented_receiver_takes_what_is_genuine_and_prints_it_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(os.environ, "EVENTS_SECRET", SECRET)
    section = PAGE.read_text(encoding="utf-8").split("\n## Events\n")[1].split("\n## ")[0]
    (example,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    names: dict[str, Any] = {"__name__": "example"}
    exec(compile(example, "docs/operations.md", "exec"), names)
    monkeypatch.setattr(names["Receiver"], "log_message", lambda *_: None)
    server = ThreadingHTTPServer(("127.0.0.1", 0), names["Receiver"])
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}/"
    now = time.time()
    made = [
        Receiver(url, Signer(secrets), at_once=2)
        for secrets in (SECRET, f"whsec_{'A' * 40},{SECRET}", f"whsec_{'A' * 40}")
    ]
    try:
        verdicts = [(await each.post("evt_1", BODY, now)).error for each in made]
        old = (await made[0].post("evt_2", BODY, now - 301)).error
        async with httpx.AsyncClient(trust_env=False, verify=False) as client:
            headers = Signer(SECRET).headers("evt_3", BODY, now)
            changed = (await client.post(url, content=BODY + " ", headers=headers)).status_code
            bare = (await client.post(url, content=BODY)).status_code
    finally:
        for each in made:
            await each.close()
        server.shutdown()
        thread.join()
        server.server_close()
    assert verdicts == ["", "", "HTTP 401"]
    assert (old, changed, bare) == ("HTTP 401", 401, 401)
    assert capsys.readouterr().out == "call.ended c the line was busy: ü\n"
