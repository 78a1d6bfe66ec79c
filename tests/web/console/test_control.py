"""The runtime settings of the control endpoint: the admin secret beside the usual token, and nothing without one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from callflow.config.settings import Settings
from callflow.history.control_settings import StoredControl
from tests.web.console.stage import Stage, play


ADMIN, TOKEN = "an-admin-secret-of-32-characters!", "the-token-of-operators"
PATH = "/api/realtime/control/settings"


def with_admin(secret: str = ADMIN) -> Settings:
    given: Any = {"realtime_control_admin_secret": secret}
    return Settings(**given)


@pytest.mark.parametrize("token", ["", TOKEN])
def test_the_admin_secret_is_needed_and_is_let_in_as_bearer_here_and_nowhere_else(token: str, tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        await the.apis.control.load(StoredControl(the.history.database))
        assert (await the.get(PATH)).status == 401
        assert (await the.get(PATH, x_admin_secret=f"{ADMIN}x")).status == 403
        assert (await the.get(PATH, x_admin_secret=ADMIN)).json()["settings"] is None
        assert (await the.send("POST", PATH, b'{"settings": null}')).status == 401
        assert (await the.get(PATH, authorization=f"Bearer {ADMIN}")).json()["settings"] is None
        sent = await the.send("POST", PATH, b'{"settings": {}}', authorization=f"Bearer {ADMIN}")
        assert sent.status == 200, sent.json()
        wrong = await the.get(PATH, authorization=f"Bearer {ADMIN}x")
        assert wrong.status == (401 if token else 403)
        elsewhere = await the.get("/api/session", authorization=f"Bearer {ADMIN}")
        assert elsewhere.status == (401 if token else 200)
        about = (await the.get("/api/realtime/control/about")).json()
        assert (about["admin"], about["bearer"], about["signed"]) == (True, False, False)
        assert ADMIN not in json.dumps(about)

    play(tmp_path, main, token=token, settings=with_admin())


def test_without_an_admin_secret_nobody_is_let_in(tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        for headers in ({}, {"x_admin_secret": ""}, {"authorization": "Bearer "}):
            refused = await the.get(PATH, **headers)
            assert (refused.status, "REALTIME_CONTROL_ADMIN_SECRET" in refused.json()["error"]) == (403, True)

    play(tmp_path, main)


def test_what_is_given_is_kept_and_one_value_that_is_wrong_keeps_all_of_it_out(tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        async def send(body: Any) -> Any:
            return await the.send("POST", PATH, json.dumps(body).encode(), x_admin_secret=ADMIN)

        service = the.apis.control
        await service.load(StoredControl(the.history.database))
        told = (await send({"settings": {"voice": "ash", "server": {}}})).json()
        assert (told["ok"], told["settings"]) == (True, {"voice": "ash", "server": {}})
        assert told["warnings"] == ["server is left out: the API has no such parameter"]
        wrong: list[Any] = [{}, {"settings": []}, {"settings": {"speed": 9}}, {"settings": None, "more": 1}]
        for body in wrong:
            assert (await send(body)).status == 400, body
        assert service.changes == {"voice": "ash"}
        assert (await send({"settings": None})).json()["settings"] is None
        assert service.changes == {}

    play(tmp_path, main, settings=with_admin())
