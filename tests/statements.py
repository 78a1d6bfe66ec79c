"""Makes the statements of all databases of a test process once.

SQLAlchemy writes each statement once for each engine and keeps it there. A server has one engine for as long as it
runs; a process of tests has hundreds, and spent a tenth of its time on writing the same statements.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Connection, Engine, event


class _Statements(dict[Any, Any]):
    """As SQLAlchemy's `compiled_cache`, but for all engines of a kind of database. Their servers must be the same."""

    def get(self, key: Any, default: Any = None) -> Any:
        return super().get(_of_kind(key), default)

    def __setitem__(self, key: Any, value: Any) -> None:
        super().__setitem__(_of_kind(key), value)


def _of_kind(key: Any) -> Any:
    dialect, *others = key
    return type(dialect), *others


_made: Final = _Statements()


def share() -> None:
    """From here on, for every engine of this process."""
    event.listen(Engine, "engine_connect", _on_connect)


def stop_sharing() -> None:
    """Leave each engine its own."""
    event.remove(Engine, "engine_connect", _on_connect)


def _on_connect(connection: Connection) -> None:
    connection.execution_options(compiled_cache=_made)
