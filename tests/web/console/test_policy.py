"""Who may ask the operators' listener, and for what: by Host, Origin, token or login."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from werkzeug.exceptions import HTTPException
from werkzeug.routing import Map, RequestRedirect, Rule

from callflow.contracts.errors import AccessRefused
from callflow.contracts.printable import line
from callflow.web.console.identity import NOBODY, OPERATE, VIEW, Operator
from callflow.web.console.policy import PHONE_PATH, AccessPolicy, cookies, is_costly, is_from_elsewhere, values
from callflow.web.console.roles import SOCKET
from tests.web.console.stage import Stage, play


TOKEN = "a-token-of-24-characters"
Headers = list[tuple[bytes, bytes]]


def headers(host: str = "localhost", **others: str) -> Headers:
    return [(b"host", host.encode()), *((name.encode(), value.encode()) for name, value in others.items())]


def refusal(policy: AccessPolicy, given: Headers, method: str = "GET", path: str = "/x") -> int:
    """The status that such a request is refused with; 0: it is not."""
    try:
        policy.check(given, method, path)
    except AccessRefused as refused:
        return refused.status
    return 0


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 0), ("LOCALHOST:6001", 0), ("127.0.0.1:6001", 0), ("[::1]:6001", 0), ("console.example", 0),
        ("evil.example", 421), ("", 421), ("localhost:port", 421), ("127.0.0.1.evil.example", 421),
        ("user@localhost", 421),
    ],
)  # fmt: skip
def test_without_a_token_the_listener_must_be_asked_by_its_own_name(host: str, status: int) -> None:
    assert refusal(AccessPolicy("console.example", ""), headers(host)) == status


def test_one_host_header_is_needed() -> None:
    assert refusal(AccessPolicy("x", ""), []) == 421
    assert refusal(AccessPolicy("x", ""), headers() + headers()) == 421


@pytest.mark.parametrize(
    ("origin", "status"),
    [("http://localhost:6001", 0), ("https://localhost:6001", 0), ("http://evil.example", 403), ("null", 403),
     ("http://localhost", 403)],
)  # fmt: skip
def test_pages_of_other_origins_are_refused(origin: str, status: int) -> None:
    for policy in (AccessPolicy("x", ""), AccessPolicy("x", TOKEN)):
        given = headers("localhost:6001", origin=origin, authorization=f"Bearer {TOKEN}")
        assert refusal(policy, given) == status


@pytest.mark.parametrize(
    ("value", "status"),
    [(f"Bearer {TOKEN}", 0), (f"bearer  {TOKEN} ", 0), (f"Basic {TOKEN}", 401), (TOKEN, 401), ("Bearer ", 401),
     (f"Bearer {TOKEN}x", 401), (f"Bearer {TOKEN[:-1]}", 401)],
)  # fmt: skip
def test_with_a_token_it_must_be_given_and_then_any_host_is_good(value: str, status: int) -> None:
    assert refusal(AccessPolicy("x", TOKEN), headers("any.example", authorization=value)) == status
    assert refusal(AccessPolicy("x", TOKEN), headers("any.example")) == 401
    twice = [*headers(authorization=value), (b"authorization", value.encode())]
    assert refusal(AccessPolicy("x", TOKEN), twice) == 401


# What is costly

ROUTES = (
    "/api/calls", "/api/calls/<call>/transfer", "/api/campaigns", "/api/campaigns/<campaign>",
    "/api/campaigns/<campaign>/pause", "/api/transfers", "/api/transfers/<transfer>", "/api/numbers",
    "/api/numbers/<path:number>", "/api/provision", "/api/realtime-token", "/api/profiles/<name>",
    "/api/profiles/<name>/versions/<int:version>/restore", "/tools/<name>/try",
)  # fmt: skip


COSTS = [path.replace("<path:", "<").replace("<int:", "<").replace("<", "").replace(">", "") for path in ROUTES]


FREE = {
    ("PATCH", "/api/session"), ("DELETE", "/api/session"), ("POST", "/api/calls/<call>/session"),
    ("POST", "/api/calls/<call>/hold"), ("POST", "/api/calls/<call>/resume"), ("POST", "/api/calls/<call>/mute"),
    ("POST", "/api/calls/<call>/whisper"), ("POST", "/api/calls/<call>/tools/<tool>"),
    ("POST", "/api/calls/<call>/say"), ("POST", "/api/calls/<call>/dtmf"), ("POST", "/api/calls/<call>/recording"),
    ("POST", "/api/calls/<call>/images"), ("POST", "/api/calls/<call>/hangup"), ("DELETE", "/api/conversations"),
    ("DELETE", "/api/calls/<call>"), ("POST", "/api/calls/<call>/restore"),
    ("POST", "/api/do-not-call"), ("DELETE", "/api/do-not-call/<number>"),
    ("POST", "/api/events/dead/<name>/again"), ("POST", "/api/realtime/control/settings"),
    ("POST", "/api/doctor"), ("POST", "/api/nodes/<node>/drain"), ("POST", "/api/nodes/<node>/resume"),
    ("POST", "/api/alerts/<alert>/seen"), ("POST", "/api/alerts/<alert>/closed"),
    ("POST", "/api/calls/<call>/share"), ("DELETE", "/api/shares/<share>"),
    ("POST", "/login"), ("POST", "/logout"), ("POST", "/api/tools/own"), ("POST", "/api/tools/check"),
    ("PUT", "/api/tools/own/<name>"), ("DELETE", "/api/tools/own/<name>"), ("PUT", "/api/views/<name>"),
    ("DELETE", "/api/views/<name>"), ("POST", "/api/session/versions/<int:version>/restore"),
    ("DELETE", "/api/conversations/stream/<sid>"), ("POST", "/api/conversations/stream/<sid>/items"),
}  # fmt: skip
"""What changes something here, but costs no money and changes no account."""


@pytest.mark.parametrize("path", COSTS)
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "post", "QUERY", ""])
def test_what_is_costly_needs_a_token_that_is_set(path: str, method: str) -> None:
    assert refusal(AccessPolicy("x", ""), headers(), method, path) == 401
    assert refusal(AccessPolicy("x", ""), headers("evil.example"), method, path) == 421, "before all else"
    assert refusal(AccessPolicy("x", TOKEN), headers(authorization=f"Bearer {TOKEN}"), method, path) == 0
    assert refusal(AccessPolicy("x", TOKEN), headers(), method, path) == 401
    for reads in ("GET", "HEAD", "OPTIONS"):
        assert refusal(AccessPolicy("x", ""), headers(), reads, path) == 0


def test_the_phone_needs_a_token_where_the_model_costs_money_and_none_where_it_is_emulated() -> None:
    costs, free = AccessPolicy("x", ""), AccessPolicy("x", "", free=[PHONE_PATH])
    assert refusal(costs, headers(), SOCKET, PHONE_PATH) == 401
    assert refusal(free, headers(), SOCKET, PHONE_PATH) == 0
    assert refusal(free, headers(), "POST", "/api/calls") == 401, "nothing else is free"
    assert refusal(AccessPolicy("x", TOKEN, free=[PHONE_PATH]), headers(), SOCKET, PHONE_PATH) == 401


def test_the_refusal_tells_the_line_for_env_and_only_the_client() -> None:
    suggested = set()
    for _ in range(2):
        with pytest.raises(AccessRefused) as refused:
            AccessPolicy("x", "").check(headers(), "POST", "/api/calls")
        found = re.search("CONSOLE_TOKEN=([0-9a-f]{32}) into .env, restart the server", refused.value.sentence)
        assert found is not None
        suggested.add(found[1])
        assert found[1] not in str(refused.value), "this is logged"
        assert refused.value.headers == {"WWW-Authenticate": "Bearer"}
        assert len(refused.value.sentence) <= 300, "it would be cut off"
    assert len(suggested) == 2, "each is a new one"


def test_every_route_that_changes_something_is_costly_or_known_to_be_free(tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        found = {(method, rule.rule) for rule in the.app.url_map.iter_rules() for method in rule.methods or ()}
        changing = {(method, rule) for method, rule in found if method not in ("GET", "HEAD", "OPTIONS")}
        assert {(method, rule) for method, rule in changing if not is_costly(method, rule)} == FREE

    play(tmp_path, main)


def other_spellings(path: str) -> st.SearchStrategy[str]:
    """The path with something between its characters."""
    odd = st.sampled_from(
        ["", "", "", "", "/", "//", "/.", "/..", " ", "\n", "\t", ";", "%", "%2f", "\\", "é", "\u2028"]
    )
    return st.tuples(*(odd for _ in range(len(path) + 1))).map(
        lambda between: "".join(a + b for a, b in zip(between, [*path, ""], strict=True))
    )


@settings(max_examples=300)
@given(st.sampled_from(COSTS).flatmap(other_spellings) | st.sampled_from(COSTS).map(lambda path: f"//{path}"))
@pytest.mark.exhaustive
def test_no_other_spelling_that_the_router_takes_is_free(path: str) -> None:
    rules = Map([Rule(path, methods=["POST"]) for path in ROUTES], merge_slashes=False)
    try:
        rules.bind("localhost").match(path, "POST")
    except (HTTPException, RequestRedirect):
        return
    assert is_costly("POST", path)


# Odd headers


@pytest.mark.parametrize(
    "host",
    [
        "localhost:", "localhost:999999", "localhost:-1", "localhost:6001:6001", " localhost", "localhost ", "[::1",
        "::1", "[localhost]", "localhost.", "localhost/", "localhost#", "localhost\\", "a@localhost", "localhost\x00",
        "127.0.0.2", "0.0.0.0", "LOCALHOST.evil.example", "l\xf6calhost",
    ],
)  # fmt: skip
def test_no_other_spelling_of_a_name_is_this_machine(host: str) -> None:
    assert refusal(AccessPolicy("x", ""), [(b"host", host.encode("latin-1"))]) == 421


@given(st.binary(max_size=40))
def test_whatever_stands_in_a_header_is_refused_in_one_sentence(odd: bytes) -> None:
    for name in (b"host", b"origin", b"authorization", b"cookie", b"sec-fetch-site"):
        for token in ("", TOKEN):
            given = [(b"host", b"evil.example"), (name, odd)] if name != b"host" else [(name, b"x" + odd)]
            with pytest.raises(AccessRefused) as refused:
                AccessPolicy("console.example", token).check(given, "GET", "/api/calls")
            assert refused.value.status in (401, 403, 421)
            assert line(refused.value.sentence) == refused.value.sentence
            assert len(refused.value.sentence) <= 300


@pytest.mark.parametrize(
    "given", [headers("a") + headers("a", origin="http://a"), headers("a") + [(b"origin", b"http://a")] * 2]
)
def test_an_origin_counts_only_once_and_beside_one_host(given: Headers) -> None:
    assert refusal(AccessPolicy("x", TOKEN), [*given, (b"authorization", f"Bearer {TOKEN}".encode())]) == 403


def test_a_token_of_one_path_is_good_for_that_path_and_for_nothing_else() -> None:
    own = {"/api/phone": "own-token-of-that-path", "/api/doctor": ""}
    policy = AccessPolicy("x", TOKEN, own_tokens=own)
    it = headers(authorization="Bearer own-token-of-that-path")
    assert policy.check(it, "GET", "/api/phone").name == "of /api/phone"
    for path in ("/api/phone/", "//api/phone", "/api/doctor", "/api/calls"):
        assert refusal(policy, it, path=path) == 401
    assert refusal(policy, it + it[1:], path="/api/phone") == 401, "given twice"
    assert refusal(policy, headers(authorization="Bearer "), path="/api/doctor") == 401, "an empty one is none"


def test_a_role_is_looked_at_after_the_token_and_a_search_needs_more_than_to_view() -> None:
    policy = AccessPolicy("x", TOKEN, [("the-token-of-the-eye", Operator("eye", role=VIEW))])
    eye = headers(authorization="Bearer the-token-of-the-eye")
    assert policy.check(eye, "GET", "/api/calls") == Operator("eye", role=VIEW)
    assert refusal(policy, eye, "POST", "/api/calls") == 403
    with pytest.raises(AccessRefused, match=f"needs the role {OPERATE}: eye has the role {VIEW}"):
        policy.check(eye, "GET", "/api/calls", b"number=%2B15550100001")
    assert policy.check(headers(), "GET", "/login").role == NOBODY, "the way to a login needs none"


def test_a_cookie_is_found_among_others_and_only_the_first_few_are_looked_at() -> None:
    ours = b"callflow_console"
    given = [(b"Cookie", b"a=b; " + ours + b"=1;" + ours + b"=2"), (b"cookie", b"x" + ours + b"=3; " + ours + b"=")]
    assert cookies(given) == ["1", "2", ""]
    assert len(cookies([(b"cookie", b";".join([ours + b"=x"] * 1000))])) == 8
    assert cookies([(b"cookie", b"\xff; =; ;;"), (b"set-cookie", ours + b"=x")]) == []


def test_a_browser_says_who_makes_a_request() -> None:
    for site, elsewhere in ((b"cross-site", True), (b"same-site", True), (b"same-origin", False), (b"", False)):
        assert is_from_elsewhere([(b"Sec-Fetch-Site", site)]) == elsewhere
    assert is_from_elsewhere([(b"sec-fetch-site", b"none"), (b"sec-fetch-site", b"cross-site")]), "one is enough"
    assert values([(b"X-A", b"1"), (b"x-a", b"2"), (b"x-ab", b"3")], b"x-a") == [b"1", b"2"]


def test_a_link_of_another_site_may_open_a_page_and_do_nothing_else() -> None:
    policy = AccessPolicy("x", "")
    link = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    assert refusal(policy, headers(**link)) == 0
    assert refusal(policy, headers(**link), "POST") == 403
    assert refusal(policy, headers(**link), SOCKET) == 403
    assert refusal(policy, [*headers(**link), (b"sec-fetch-mode", b"navigate")]) == 403, "said twice"


def test_with_a_login_only_our_own_page_changes_something_or_opens_a_socket() -> None:
    policy = AccessPolicy("x", TOKEN, [], secrets_now=lambda: [bytes(32)])
    own = {"host": "localhost", "cookie": f"callflow_console={policy.sessions.begin(Operator())}"}
    page = {**own, "origin": "http://localhost", "x-callflow": "console"}
    for sent, method, status in (
        (own, "GET", 0), (own, "POST", 403), (page, "POST", 0), ({**page, "x-callflow": "yes"}, "DELETE", 403),
        (own, SOCKET, 403), (page, SOCKET, 0), ({**own, "origin": "http://localhost"}, SOCKET, 0),
    ):  # fmt: skip
        assert refusal(policy, headers(**sent), method, "/api/calls/c/listen") == status, (sent, method)
