"""Tools for the agent, to begin with: copy this file to `tools.py` beside server.py, and change it as you like.

A tool is a function. Its name, its type hints and its docstring are what the model is told of it. It may be plain or
asynchronous, answers with anything that can be written as JSON, and is read again whenever this file changes: no
restart. It runs apart from the audio; what it raises is told to the model as an error, as is a time limit it misses.

A parameter named `call` is not the model's to fill in: it says whose call it is. `call.idempotency_key` is the same for
a repeat of the same request, so that an order is placed once.

A server of tools that the model's vendor runs (MCP) is an entry of a list named `tools`, beside the functions here:

    shop = {"type": "mcp", "server_label": "shop", "server_url": "https://shop.example/mcp"}
    tools = [shop]

It needs a `server_label` of its own and a `server_url` (or a `connector_id`), which the vendor must be able to reach;
`authorization` or `headers` hold its key. Without `"require_approval": "never"` the model asks before each use, and the
setting `mcp_approval` answers.

A tool that a person at the console answers has no function; it waits for so many seconds, 60 if none are given:

    tools = [{"type": "function", "name": "approve_discount", "description": "Ask a colleague for a discount.",
              "parameters": {"type": "object", "properties": {"percent": {"type": "number"}}},
              "answered_by": "operator", "seconds": 45}]
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx

from callflow import ToolContext, tool


WEATHER = "https://api.open-meteo.com/v1/forecast"
PLACES = "https://geocoding-api.open-meteo.com/v1/search"


@tool
async def get_weather(city: str) -> dict[str, Any]:
    """The weather in a city, now.

    Args:
        city: its name, such as "Vienna"
    """
    async with httpx.AsyncClient(timeout=5) as client:
        wanted: dict[str, str | int] = {"name": city, "count": 1}
        found = (await client.get(PLACES, params=wanted)).raise_for_status().json()
    if not found.get("results"):
        return {"error": f"there is no place called {city}"}
    place = found["results"][0]
    return {"place": place["name"], **await get_weather_from_coords(place["latitude"], place["longitude"])}


@tool
async def get_weather_from_coords(latitude: float, longitude: float) -> dict[str, Any]:
    """The weather at a place, now.

    Args:
        latitude: in degrees, north positive
        longitude: in degrees, east positive
    """
    wanted: dict[str, str | float] = {
        "latitude": latitude,
        "longitude": longitude,
        "current": "temperature_2m,precipitation,wind_speed_10m",
    }
    async with httpx.AsyncClient(timeout=5) as client:
        current: dict[str, Any] = (await client.get(WEATHER, params=wanted)).raise_for_status().json()["current"]
    return {
        "celsius": current["temperature_2m"],
        "rain_mm": current["precipitation"],
        "wind_kmh": current["wind_speed_10m"],
    }


@tool
def take_message(name: str, message: str, call: ToolContext) -> str:
    """Write down a message for the people of this office, when the caller wants to leave one.

    Args:
        name: who is calling
        message: what to tell them
    """
    with Path("messages.txt").open("a", encoding="utf-8") as file:
        file.write(f"{call.from_number}\t{name}\t{message}\n")
    return "The message has been written down."
