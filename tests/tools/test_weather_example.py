"""The weather tools of the examples, against a local server that answers as Open-Meteo does."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

import pytest

from callflow.tools.loader import load
from tests.tools.files import answer


ROOT = Path(__file__).parents[2]
_NOW = {"temperature_2m": 21.5, "precipitation": 0.0, "wind_speed_10m": 9.0}
PLACES = {"Vienna": {"name": "Vienna", "latitude": 48.2, "longitude": 16.37}}


class _OpenMeteo(BaseHTTPRequestHandler):
    asked: ClassVar[list[tuple[str, dict[str, list[str]]]]] = []
    status: ClassVar[int] = 200

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        query = parse_qs(url.query)
        self.asked.append((url.path, query))
        if url.path == "/v1/search":
            place = PLACES.get(query["name"][0])
            body: dict[str, Any] = {"results": [place]} if place else {"generationtime_ms": 0.5}
        else:
            body = {
                "latitude": 48.2,
                "current_units": {"temperature_2m": "°C", "precipitation": "mm", "wind_speed_10m": "km/h"},
                "current": {name: _NOW[name] for name in query["current"][0].split(",")},
            }
        sent = json.dumps(body).encode()
        self.send_response(type(self).status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(sent)))
        self.end_headers()
        self.wfile.write(sent)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def tools(tmp_path: Path) -> Iterator[Any]:
    """The example's tools, which ask the local server."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _OpenMeteo)
    _OpenMeteo.asked, _OpenMeteo.status = [], 200
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    here = f"http://127.0.0.1:{server.server_address[1]}"
    text = (ROOT / "examples" / "tools.py").read_text(encoding="utf-8")
    file = tmp_path / "tools.py"
    file.write_text(
        text.replace("https://api.open-meteo.com", here).replace("https://geocoding-api.open-meteo.com", here)
    )
    try:
        yield load(file)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_the_weather_of_a_city_is_that_of_its_place(tools: Any) -> None:
    told, ok = answer(tools, "get_weather", '{"city": "Vienna"}')
    assert ok
    assert "21.5" in json.dumps(told)
    assert "Vienna" in json.dumps(told)
    (path, place), (forecast, where) = _OpenMeteo.asked
    assert (path, place["name"]) == ("/v1/search", ["Vienna"])
    assert (forecast, where["latitude"], where["longitude"]) == ("/v1/forecast", ["48.2"], ["16.37"])


def test_the_weather_at_a_place_needs_no_city(tools: Any) -> None:
    told, ok = answer(tools, "get_weather_from_coords", '{"latitude": 48.2, "longitude": 16.37}')
    assert ok
    assert "21.5" in json.dumps(told)
    assert [path for path, _ in _OpenMeteo.asked] == ["/v1/forecast"]


def test_a_place_that_nobody_knows_and_a_service_that_is_down_are_answers(tools: Any) -> None:
    told, _ = answer(tools, "get_weather", '{"city": "Nowhere"}')
    assert "there is no place called Nowhere" in json.dumps(told)
    _OpenMeteo.status = 503
    _, ok = answer(tools, "get_weather", '{"city": "Vienna"}')
    assert not ok
