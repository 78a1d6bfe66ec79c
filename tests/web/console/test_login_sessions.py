"""Logins of browsers: whose they are, and until when."""

from __future__ import annotations

import pytest

from callflow.web.console.identity import Operator
from callflow.web.console.login_sessions import SECONDS, LoginSessions


TOKEN, OTHER = b"the-token-of-all-1234", b"the-token-of-the-desk"
DESK = Operator("desk", "taxis", "operate")
SECRET = bytes(32)


class Clock:
    now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


def sessions(
    clock: Clock, *tokens: tuple[bytes, Operator], secret: bytes = SECRET, before: bytes = b""
) -> LoginSessions:
    known = [each for each in (secret, before) if each]
    return LoginSessions(tokens or ((TOKEN, Operator()), (OTHER, DESK)), (lambda: known) if known else None, clock)


def test_a_login_is_its_holders_until_it_ends() -> None:
    clock = Clock()
    the = sessions(clock)
    for token, holder in ((TOKEN, Operator()), (OTHER, DESK)):
        found = the.holder_of_token(token)
        assert found == holder
        cookie = the.begin(found)
        back = the.holder(cookie)
        assert (back, back.until if back else 0) == (holder, clock.now + SECONDS)
        assert token.decode() not in cookie
        assert len(cookie) < 200
    cookie = the.begin(DESK)
    clock.now += SECONDS - 1
    assert the.holder(cookie) == DESK
    clock.now += 1
    assert the.holder(cookie) is None


def test_a_login_lasts_over_a_restart_and_ends_with_its_token() -> None:
    clock = Clock()
    cookie = sessions(clock).begin(DESK)
    assert sessions(clock).holder(cookie) == DESK
    changed = Operator("desk", "taxis", "view")
    assert sessions(clock, (OTHER, changed)).holder(cookie) == changed, "what is configured now holds"
    assert sessions(clock, (b"another-token-of-the-desk", DESK)).holder(cookie) is None
    assert sessions(clock, (TOKEN, Operator())).holder(cookie) is None
    assert sessions(clock, secret=bytes(31) + b"x").holder(cookie) is None
    assert sessions(clock, secret=b"").holder(sessions(clock, secret=b"").begin(DESK)) is None, "each has its own"


def test_a_login_of_before_holds_when_the_secret_of_all_nodes_comes() -> None:
    clock, new = Clock(), bytes(31) + b"n"
    early, late = sessions(clock).begin(DESK), sessions(clock, secret=new, before=SECRET).begin(DESK)
    assert sessions(clock, secret=new, before=SECRET).holder(early) == DESK
    assert sessions(clock, secret=new).holder(late) == DESK, "at another node, which never had the first secret"


def test_a_logout_ends_one_login_wherever_its_cookie_is() -> None:
    the = sessions(Clock())
    one, other = the.begin(DESK), the.begin(DESK)
    the.end(one)
    the.end("nonsense")
    the.end(one)
    assert (the.holder(one), the.holder(other)) == (None, DESK)


@pytest.mark.parametrize("changed", ["name", "ends", "random", "signature", "empty", "short", "long", "é", "none"])
def test_a_cookie_that_was_changed_is_none(changed: str) -> None:
    the = sessions(Clock())
    ends, random, signature, name = the.begin(DESK).split(".")
    cookie = {
        "name": f"{ends}.{random}.{signature}.", "ends": f"{int(ends) + 1}.{random}.{signature}.{name}",
        "random": f"{ends}.x{random}.{signature}.{name}", "signature": f"{ends}.{random}.{signature[:-1]}.{name}",
        "empty": "", "short": f"{ends}.{random}", "long": f"{ends}.{'x' * 500}.{signature}.{name}",
        "é": f"{ends}.é.{signature}.{name}", "none": f"{ends}.{random}..{name}",
    }[changed]  # fmt: skip
    assert the.holder(cookie) is None


def test_wrong_tokens_are_nobodys() -> None:
    the = sessions(Clock())
    for wrong in (b"", TOKEN[:-1], TOKEN + b"x", b"desk", "ü".encode()):
        assert the.holder_of_token(wrong) is None
    assert not LoginSessions([]).is_needed
    assert LoginSessions([]).holder_of_token(b"") is None
