"""An address is shown by its parts, and no part of it may be the rest of a password."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from callflow.contracts import addresses


PLAIN = {
    "": "",
    "https://api.telnyx.com/v2": "https://api.telnyx.com/v2",
    "http://127.0.0.1:6000": "http://127.0.0.1:6000",
    "http://[::1]:6000/": "http://[::1]:6000/",
    "https://bücher.example/a%20b": "https://…",
    "https://bücher.example/a": "https://bücher.example/a",
    "wss://api.openai.com/v1/realtime?model=gpt-realtime&api-key=secret": "wss://api.openai.com/v1/realtime?…",
    "wss://a.example/v1#secret": "wss://a.example/v1#…",
    "https://user:secret@a.example:8443/v2": "https://a.example:8443/v2",
    "https://secret@a.example": "https://a.example",
    "socks5://user:secret@proxy.example:1080": "socks5://proxy.example:1080",
    "postgresql://user:secret@db.example:5432/calls": "postgresql://db.example:5432/calls",
    "postgresql+asyncpg://user:s:ecret@db.example/calls": "postgresql+asyncpg://db.example/calls",
    "postgres://user@/calls?host=/run/postgresql&password=secret": "postgres:///calls?…",
    "postgresql://user:se%2Fc%40r%20et@db.example/calls": "postgresql://db.example/calls",
    "sqlite:///data/callflow.db": "sqlite:///data/callflow.db",
    "sqlite:////home/me@work/My Calls/callflow.db?key=secret": "sqlite:////home/me@work/My Calls/callflow.db?…",
}
DOUBTFUL = [
    "postgresql://user:se/cret@db.example/calls",
    "postgresql://user:12/secret@db.example/calls",
    "postgresql://user:12?secret@db.example/calls",
    "postgresql://user:12#secret@db.example/calls",
    "postgresql://user:se@cret@db.example/calls",
    "postgresql://user:se cret@db.example/calls",
    "postgresql://user:se\\cret@db.example/calls",
    "postgresql://user:se\tcret@db.example/calls",
    "postgresql://user:se\ncret@db.example/calls",
    "postgresql://user:secret",
    "postgresql://user:secret/calls",
    "postgresql://db.example:secret/calls",
    "postgresql://db.example:99999/calls",
    "postgresql://db.example/calls@secret",
    "postgresql://db.example/calls%40secret",
    "postgresql://db.example/calls%2540secret",
    "postgresql://db.example/calls%20secret",
    "postgresql://db.example/calls%0Asecret",
    "postgresql://db.example/calls?a=@secret",
    "https://[secret]/v2",
    "https://a.example/sk-secret-0123456789abcdef/v2",
    "https://KEY0123456789abcdef_secret/v2",
    "sqlite:///user:sec/ret@db.example/calls",
    "sqlite://secret@db.example/calls",
]


@pytest.mark.parametrize(("address", "shown"), PLAIN.items())
def test_an_address_is_its_scheme_host_port_and_path(address: str, shown: str) -> None:
    assert addresses.shown(address) == shown


@pytest.mark.parametrize("address", DOUBTFUL)
def test_what_a_password_may_have_spilled_into_is_not_shown(address: str) -> None:
    assert addresses.shown(address) == f"{address.partition(':')[0]}://…"


@pytest.mark.parametrize(
    "text", ["secret", "secret:word@host", "sk-secret://host/x", "user:secret://a@b", "://secret", "secret://"]
)
def test_what_has_no_scheme_of_ours_is_not_shown_at_all(text: str) -> None:
    assert addresses.shown(text) == "…"


PASSWORDS = st.text(min_size=1, max_size=30) | st.text("aZ19/@:?#%&=[]. \\\n", min_size=1, max_size=12)
SCHEMES = st.sampled_from(["postgresql", "postgres", "https", "wss"])


@given(SCHEMES, PASSWORDS)
@example("postgresql", "x@other.example:80/db?")
@example("https", "1/a.example:80")
def test_no_password_has_a_say_in_what_is_shown(scheme: str, password: str) -> None:
    for written in (password, quote(password, safe="")):
        by_user = addresses.shown(f"{scheme}://user:{written}@a.example:8000/name")
        assert by_user in (f"{scheme}://a.example:8000/name", f"{scheme}://…")
        by_query = addresses.shown(f"{scheme}://user@a.example:8000/name?x=1&password={written}")
        assert by_query in (f"{scheme}://a.example:8000/name?…", f"{scheme}://a.example:8000/name?…#…", f"{scheme}://…")
    encoded = addresses.shown(f"{scheme}://user:{quote(password, safe='')}@a.example:8000/name")
    assert encoded == f"{scheme}://a.example:8000/name", "what is percent-encoded can be read in one way only"


@given(st.text(max_size=40) | st.from_regex(r"\w+://[\w.:@/?#%-]*", fullmatch=True))
def test_any_text_can_be_shown(text: str) -> None:
    shown = addresses.shown(text)
    assert shown.isprintable()
    assert "@" not in shown or text.lower().startswith("sqlite"), shown


def test_the_secrets_of_an_address_are_found_as_they_stand_there_and_decoded() -> None:
    def found(address: str) -> set[str]:
        return set(addresses.secrets_in(address))

    in_query = "password=a+b&sslpassword=c&options=-csearch_path%3Dx"
    assert found(f"postgresql://user:p%2Fw@h/x?{in_query}") == {"p%2Fw", "p/w", "a+b", "a b", "c"}
    tokens = {"0123", "0123456789abcdef"}
    assert found("wss://h/v1?model=gpt-realtime-2.1&api-key=0123&sig=0123456789abcdef") == tokens
    assert found("https://api.telnyx.com/v2") == set()
