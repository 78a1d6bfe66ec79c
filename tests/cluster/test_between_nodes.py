"""What nodes say to each other, and paths that name one: without sockets."""

from __future__ import annotations

import pytest

from callflow.cluster import node_paths, signing
from callflow.contracts.errors import Forged
from callflow.web.console.live.other_calls import OtherCalls


SECRET = b"0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize(
    ("path", "name", "rest"),
    [
        ("/nodes/w1/webhooks", "w1", "/webhooks"),
        ("/nodes/a-w12/media-stream/x.1.y", "a-w12", "/media-stream/x.1.y"),
        ("/nodes/w1/", "w1", "/"),
        ("/nodes/w1", "", "/nodes/w1"),
        ("/nodes//webhooks", "", "/nodes//webhooks"),
        ("/nodes/W1/webhooks", "", "/nodes/W1/webhooks"),
        ("/nodes/../webhooks", "", "/nodes/../webhooks"),
        ("/webhooks", "", "/webhooks"),
    ],
)
def test_a_path_may_name_a_node(path: str, name: str, rest: str) -> None:
    assert node_paths.split(path) == (name, rest)


def signed_text() -> str:
    return signing.sign(SECRET, 1000.0, "POST", "/public/webhooks?a=1", b"{}")


def signed(**changed: object) -> tuple[str, float, str, str, bytes]:
    given = {"now": 1000.0, "method": "POST", "target": "/public/webhooks?a=1", "body": b"{}", **changed}
    return (
        str(changed.get("text", signed_text())),
        float(str(given["now"])),
        str(given["method"]),
        str(given["target"]),
        bytes(given["body"]),  # type: ignore[call-overload]
    )


def verify(text: str, now: float, method: str, target: str, body: bytes) -> None:
    signing.verify(SECRET, text, now, method, target).check(body)


def test_a_signed_request_is_taken() -> None:
    verify(*signed())
    verify(*signed(now=1029.0))
    assert signing.verify(SECRET, *signed()[:4]).length == 2, "known before the body is read"


@pytest.mark.parametrize(
    "changed",
    [
        {"now": 1031.0}, {"now": 969.0}, {"method": "GET"}, {"target": "/public/webhooks?a=2"},
        {"target": "/console/webhooks?a=1"}, {"body": b"{ }"}, {"text": ""},
        {"text": f"t=1000,n=2,b={'0' * 64},v1={'0' * 64}"},
        {"text": signed_text().replace("n=2", "n=9")}, {"text": signed_text().replace("t=1000", "t=1001")},
    ],
)  # fmt: skip
def test_anything_else_is_refused(changed: dict[str, object]) -> None:
    with pytest.raises(Forged):
        verify(*signed(**changed))


def row(call: str) -> dict[str, str]:
    return {"id": call, "business": "shop"}


def test_a_call_that_moves_is_there_once_and_its_former_owner_cannot_end_it() -> None:
    calls = OtherCalls()
    calls.add("a", row("x"))
    calls.add("b", row("x"))
    assert calls.remove("a", "x") is None
    assert calls.rows({}) == [row("x")]
    assert calls.rows({"x"}) == []  # this node has it by now
    assert calls.remove("b", "x") == row("x")
    assert calls.rows({}) == []


def test_rows_of_a_node_that_is_gone_stay_until_others_had_time_to_take_its_calls_over() -> None:
    calls = OtherCalls()
    calls.add("a", row("x"))
    calls.add("a", row("y"))
    calls.lost("a", 10.0)
    calls.add("b", row("x"))
    assert calls.forgotten(14.9) == []
    assert calls.forgotten(15.0) == [row("y")]
    assert [each["id"] for each in calls.rows({})] == ["x"]
