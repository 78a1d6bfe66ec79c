"""The tokens of operators, as CONSOLE_TOKENS names them."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from callflow.config import validators
from callflow.config.preflight import check_serve
from callflow.config.settings import Settings
from callflow.web.console.identity import Operator, named_tokens


TOKEN, OTHER = "the-token-of-the-desk", "the-token-of-the-wall"


def read(entries: str) -> list[tuple[str, Operator]]:
    return named_tokens(validators.console_tokens(SecretStr(entries)).get_secret_value())


def test_each_has_a_name_a_role_and_perhaps_a_business() -> None:
    assert read(f"desk:operate:taxis:{TOKEN}, wall:view:{OTHER},") == [
        (TOKEN, Operator("desk", "taxis", "operate")), (OTHER, Operator("wall", "", "view")),
    ]  # fmt: skip
    assert read(f"a:configure::{TOKEN}") == [(TOKEN, Operator("a", "", "configure"))]
    assert read("") == []


@pytest.mark.parametrize(
    "entries",
    [
        f"desk:taxis:{TOKEN}", f"desk::{TOKEN}", f"desk:{TOKEN}", TOKEN, f"desk:admin:{TOKEN}", f"desk:View:{TOKEN}",
        f":view:{TOKEN}", f"desk:view:two+words:{TOKEN}", f"desk:view:taxis:{TOKEN}:x",
    ],
)  # fmt: skip
def test_another_form_is_refused_with_the_form_that_is_wanted_and_not_shown(entries: str) -> None:
    with pytest.raises(ValueError, match="name:role:token or name:role:business:token") as refused:
        read(entries)
    assert TOKEN not in str(refused.value)


def test_a_token_is_long_enough_and_everybody_has_another_one() -> None:
    for entries, why in (
        ("desk:view:short", "fewer than"), (f"desk:view:{TOKEN},wall:view:{TOKEN}", "twice"),
        (f"desk:view:{TOKEN},desk:view:{OTHER}", "twice"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=why):
            read(entries)
    for named in (f"desk:view:{TOKEN}", f"desk:view:taxis:{TOKEN}"):
        settings = Settings(console_token=SecretStr(TOKEN), console_tokens=SecretStr(named))
        assert any("has the token of CONSOLE_TOKEN" in problem for problem in check_serve(settings))
        settings = Settings(console_tokens=SecretStr(named))
        assert any("CONSOLE_TOKEN is not" in problem for problem in check_serve(settings))
