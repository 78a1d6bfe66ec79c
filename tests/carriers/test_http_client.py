"""One JSON API: tries that end, retries that repeat the identical request, and waits as the carrier asks."""

from __future__ import annotations

import asyncio
import email.utils
import time
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
import respx
from hypothesis import given
from hypothesis import strategies as st

from callflow.call.services import alone
from callflow.contracts import command_fence
from callflow.contracts.errors import CarrierError
from carriers.common import http_client
from carriers.common.http_client import Api, asked_to_wait
from tests.carriers.product import BASE, telnyx


URL = f"{BASE}/calls/1/actions/answer"
BODY = {"command_id": "the-id", "stream_url": "wss://x"}


def run(work: Callable[[Api], Awaitable[Any]], **settings: Any) -> Any:
    """`work` with an API whose errors are read as Telnyx's are."""

    async def inner() -> Any:
        read_error = telnyx_read_error
        api = Api(
            BASE,
            headers={"Authorization": "Bearer KEY"},
            read_error=read_error,
            **{"seconds": 3.0, "retries": 3, **settings},
        )
        try:
            async with asyncio.timeout(5):
                return await work(api)
        finally:
            await api.close()

    return asyncio.run(inner())


def telnyx_read_error(response: httpx.Response) -> CarrierError:
    return CarrierError(f"HTTP {response.status_code}", status=response.status_code)


def post(api: Api) -> Awaitable[Any]:
    return api.post("/calls/1/actions/answer", BODY)


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that would have been waited between the tries; none is."""
    seconds: list[float] = []
    wait = http_client._wait

    def at_once(state: Any) -> float:
        seconds.append(wait(state))
        return 0.0

    monkeypatch.setattr(http_client, "_wait", at_once)
    return seconds


# Waiting


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, 0),
        ({"Retry-After": "2"}, 2),
        ({"retry-after": " 2.5 "}, 2.5),
        ({"x-ratelimit-reset": "3"}, 3),
        ({"Retry-After": "1", "x-ratelimit-reset": "3"}, 1),
        ({"Retry-After": "soon", "x-ratelimit-reset": "3"}, 3),
        ({"Retry-After": "0", "x-ratelimit-reset": "3"}, 3),
        ({"Retry-After": "3600"}, 10),
        ({"x-ratelimit-reset": "1780000000"}, 10),
        ({"Retry-After": "-1"}, 0),
        ({"Retry-After": "nan"}, 0),
        ({"Retry-After": "inf"}, 0),
        ({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0),
        ({"Retry-After": "Wed, 21 Oct 99999999999999999999 07:28:00 GMT"}, 0),
    ],
)
def test_how_long_the_carrier_asks_to_wait(headers: dict[str, str], seconds: float) -> None:
    assert asked_to_wait(httpx.Headers(headers), limited=True) == seconds


def test_a_date_to_wait_for() -> None:
    at = email.utils.formatdate(time.time() + 5, usegmt=True)
    assert 3 < asked_to_wait(httpx.Headers({"Retry-After": at}), limited=False) <= 5


NUMBER = st.integers().map(str)


@given(st.binary() | st.builds("Wed, {} Oct {} {}:{}:{} {}".format, *[NUMBER] * 6).map(str.encode))
def test_no_header_breaks_the_waiting(value: bytes) -> None:
    assert 0 <= asked_to_wait(httpx.Headers([(b"Retry-After", value)]), limited=True) <= 10


# Trying again


@respx.mock
def test_a_success_is_decoded() -> None:
    route = respx.post(URL).respond(json={"data": {"result": "ok"}})
    assert run(post) == {"data": {"result": "ok"}}
    assert route.call_count == 1
    request = route.calls[0].request
    assert request.headers["authorization"] == "Bearer KEY"
    assert request.headers["content-type"] == "application/json"


@pytest.mark.parametrize("content", [b"", b"OK", b"\xff", b"[" * 100_000])
@respx.mock
def test_a_success_that_is_no_json_is_a_success(content: bytes) -> None:
    respx.post(URL).respond(200, content=content)
    assert run(post) == {}


TROUBLE: dict[str, Any] = {
    "connect error": httpx.ConnectError("refused"),
    "connect timeout": httpx.ConnectTimeout("late"),
    "read timeout": httpx.ReadTimeout("late"),
    "write error": httpx.WriteError("broken"),
    "connection cut": httpx.RemoteProtocolError("cut"),
    "408": httpx.Response(408),
    "429": httpx.Response(429),
    "500": httpx.Response(500, text="<html>oops</html>"),
    "502": httpx.Response(502),
    "503": httpx.Response(503),
}


@pytest.mark.parametrize("trouble", TROUBLE)
@respx.mock
def test_trouble_that_may_pass_is_met_with_the_identical_request(trouble: str, waits: list[float]) -> None:
    route = respx.post(URL)
    route.side_effect = [TROUBLE[trouble], TROUBLE[trouble], httpx.Response(200, json={"data": 1})]
    assert run(post) == {"data": 1}
    bodies = {call.request.content for call in route.calls}
    assert len(route.calls) == 3
    assert len(bodies) == 1, "every try must be the same to the last byte, command_id included"
    assert len(waits) == 2
    assert all(0 < seconds <= 2.1 for seconds in waits)


@pytest.mark.parametrize("trouble", TROUBLE)
@respx.mock
def test_trouble_that_stays_is_told_after_the_last_try(trouble: str, waits: list[float]) -> None:
    route = respx.post(URL)
    route.side_effect = [TROUBLE[trouble]] * 20
    with pytest.raises(CarrierError) as caught:
        run(post, retries=2)
    assert route.call_count == 3
    assert caught.value.retry
    assert caught.value.status == (int(trouble) if trouble.isdigit() else 0)


def test_nothing_is_sent_or_sent_again_for_a_call_that_another_process_has_meanwhile(waits: list[float]) -> None:
    """A process that was stopped wakes up before a request, or between two tries of one."""
    now, has = [100.0], [True]

    async def still(call: str) -> bool:
        assert call == "c1"
        return has[0]

    def stopped(_: httpx.Request) -> httpx.Response:
        now[0], has[0] = now[0] + 10.0, False
        return httpx.Response(503)

    async def twice(api: Api) -> None:
        with command_fence.fenced(still, "c1", lambda: now[0]):
            sending = asyncio.create_task(api.post("/calls/1/actions/answer", BODY))
        with pytest.raises(CarrierError, match="another node") as refused:
            await sending
        assert refused.value.unknown, "the first try may have come"
        with command_fence.fenced(still, "c1", lambda: now[0]):
            sending = asyncio.create_task(api.post("/calls/1/actions/answer", BODY))
        now[0] += 10.0
        with pytest.raises(CarrierError, match="another node"):
            await sending

    with respx.mock() as carrier:
        route = carrier.post(URL).mock(side_effect=stopped)
        run(twice)
    assert route.call_count == 1


def test_a_late_request_of_a_call_that_is_still_here_is_sent() -> None:
    now = [100.0]

    async def late(api: Api) -> Any:
        with command_fence.fenced(alone, "c1", lambda: now[0]):
            sending = asyncio.create_task(api.post("/calls/1/actions/answer", BODY))
        now[0] += 10.0
        return await sending

    with respx.mock() as carrier:
        carrier.post(URL).mock(return_value=httpx.Response(200, json={"data": "ok"}))
        assert run(late) == {"data": "ok"}


@pytest.mark.parametrize("status", [301, 302, 400, 401, 403, 404, 405, 409, 410, 422, 451])
@respx.mock
def test_a_refusal_is_never_tried_again(status: int, waits: list[float]) -> None:
    route = respx.post(URL).respond(status, headers={"Retry-After": "1", "Location": "/elsewhere"})
    with pytest.raises(CarrierError) as caught:
        run(post)
    assert route.call_count == 1
    assert caught.value.status == status
    assert not caught.value.retry
    assert waits == []


@pytest.mark.parametrize(
    ("status", "headers", "seconds"),
    [
        (429, {"Retry-After": "4"}, 4.0), (503, {"Retry-After": "4"}, 4.0), (429, {"x-ratelimit-reset": "7"}, 7.0),
        (429, {"Retry-After": "60"}, 10.0), (503, {"Retry-After": "60"}, 10.0),
    ],
)  # fmt: skip
@respx.mock
def test_a_wait_that_was_asked_for_is_kept(
    status: int, headers: dict[str, str], seconds: float, waits: list[float]
) -> None:
    respx.post(URL).side_effect = [httpx.Response(status, headers=headers), httpx.Response(200)]
    run(post)
    assert waits == [seconds]


@respx.mock
def test_waits_without_a_wish_grow(waits: list[float]) -> None:
    respx.post(URL).respond(500)
    with pytest.raises(CarrierError):
        run(post, retries=3)
    assert waits == sorted(waits)
    assert waits[-1] > 2 * waits[0]


@respx.mock
def test_retries_are_counted(waits: list[float]) -> None:
    respx.post(URL).respond(500)

    async def count(api: Api) -> int:
        with pytest.raises(CarrierError):
            await post(api)
        return api.retried

    assert run(count, retries=2) == 2


@respx.mock
def test_one_post_may_have_its_own_number_of_retries(waits: list[float]) -> None:
    route = respx.post(URL).respond(500)

    async def twice(api: Api) -> None:
        for retries in (0, 4):
            with pytest.raises(CarrierError):
                await api.post("/calls/1/actions/answer", BODY, retries=retries)

    run(twice, retries=1)
    assert route.call_count == 1 + 5


def test_an_answer_that_drips_in_ends_with_the_try(waits: list[float]) -> None:
    """Every byte is in time for httpx's own read timeout; together they would take for ever."""
    tries = 0

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal tries
        tries += 1
        writer.write(b"HTTP/1.1 200 OK\r\n")
        try:
            while True:
                writer.write(b"X-Drip: 1\r\n")
                await writer.drain()
                await asyncio.sleep(0.01)
        except OSError:
            pass  # the client has had enough
        finally:
            writer.close()

    async def inner() -> None:
        async with await asyncio.start_server(drip, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            api = Api(f"http://127.0.0.1:{port}", headers={}, read_error=telnyx_read_error, seconds=0.1, retries=1)
            try:
                async with asyncio.timeout(3):
                    with pytest.raises(CarrierError) as caught:
                        await api.post("/x", {})
            finally:
                await api.close()
            assert caught.value.retry

    asyncio.run(inner())
    assert tries == 2


def test_the_adapters_errors_are_read_by_the_adapter() -> None:
    adapter = telnyx(seconds=1.5, retries=5)
    assert adapter.api._retries == 5
    assert adapter.api._client.timeout == httpx.Timeout(1.5)


def test_where_nothing_is_limited_a_reset_of_the_limit_asks_for_nothing() -> None:
    """The headers come with any answer, and a caller waits meanwhile."""
    headers = httpx.Headers({"x-ratelimit-limit": "1000", "x-ratelimit-remaining": "999", "x-ratelimit-reset": "8"})
    assert asked_to_wait(headers, limited=False) == 0
    assert asked_to_wait(headers, limited=True) == 8


def test_so_many_requests_are_under_way_and_others_wait_before_the_http_library(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http_client, "_MOST_AT_ONCE", 2)
    under_way, most = 0, 0

    async def answer(request: httpx.Request) -> httpx.Response:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        for _ in range(10):
            await asyncio.sleep(0)
        under_way -= 1
        return httpx.Response(200, json={})

    async def work(api: Api) -> None:
        await asyncio.gather(*(post(api) for _ in range(6)))

    with respx.mock:
        respx.post(URL).mock(side_effect=answer)
        run(work)
    assert most == 2, "httpcore looks at all connections for each request that waits there"
