"""The product under somebody else's ASGI server."""

from __future__ import annotations

from quart import Quart

from callflow.app import Application
from callflow.config.preflight import check_serve
from callflow.config.settings import Settings
from callflow.contracts.errors import SettingsError
from callflow.web.one_port import OnePort


def create_app(settings: Settings, *, console: bool = False) -> Quart:
    """Make the public app for any ASGI server; calls are taken from that server's lifespan startup to its shutdown.

    `console`: the console is served on the same port, under its own paths (`/api/…`, `/mcp`, `/tools`). As that port is
    public, CONSOLE_TOKEN has to be set. Raises SettingsError.
    """
    problems = check_serve(settings)
    if console and not settings.console_token.get_secret_value():
        problems.append("CONSOLE_TOKEN is not set: create_app(console=True) serves the console where carriers come in")
    if problems:
        raise SettingsError(problems)
    application = Application(settings)
    app = application.public()
    beside = OnePort(app) if console else None

    @app.before_serving
    async def begin() -> None:
        application.open()
        if beside is not None:
            await beside.open(application.console())

    @app.after_serving
    async def end() -> None:
        await application.leave()
        if beside is not None:
            await beside.close()
        await application.close()

    return app
