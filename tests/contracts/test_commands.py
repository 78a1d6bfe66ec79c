"""Commands as records, and who carries each of them out."""

from __future__ import annotations

import json

import pytest

from callflow.contracts import commands
from tests.contracts.kinds import descendants


COMMANDS = sorted(
    descendants(commands.Command) - {commands.CarrierCommand, commands.LocalCommand}, key=lambda kind: kind.name
)


@pytest.mark.parametrize("kind", COMMANDS, ids=lambda kind: kind.name)
def test_a_command_has_a_record(kind: type[commands.Command]) -> None:
    command = kind()
    record = json.loads(json.dumps(commands.to_json(command)))
    assert record.pop("command") == kind.name
    assert kind(**record) == command


def test_every_command_goes_to_the_carrier_or_is_done_here() -> None:
    assert len({kind.name for kind in COMMANDS}) == len(COMMANDS) > 10
    for kind in COMMANDS:
        assert issubclass(kind, commands.CarrierCommand) != issubclass(kind, commands.LocalCommand), kind


def test_a_record_holds_every_field_so_that_it_says_what_was_done_then() -> None:
    """A default may be another one in the next version."""
    for kind in COMMANDS:
        names = set(kind.__struct_fields__)
        assert set(commands.to_json(kind())) == names | {"command"}


def test_commands_are_about_the_caller_unless_they_say_otherwise_and_cannot_be_changed() -> None:
    for kind in COMMANDS:
        command = kind()
        assert command.leg == "caller" or not isinstance(command, commands.CarrierCommand)
        with pytest.raises(AttributeError, match="immutable"):
            command.leg = "other"
