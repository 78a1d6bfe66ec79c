"""Nobody outside writes a line of the log, whatever they send."""

from __future__ import annotations

import io
import logging

import pytest

from callflow.contracts.log_format import CALL, FORM, Formatter


FORGED = "ok\n2026-01-01 00:00:00,000 ERROR   callflow: forged\r\x1b[2Jx\u2028y\x9bz\u202e"


def logged(emit: object) -> str:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(Formatter(FORM, lambda text: text.replace("4111", "[card]")))
    log = logging.getLogger("tests.log_format")
    log.propagate = False
    log.setLevel(logging.DEBUG)
    log.addHandler(handler)
    try:
        emit(log)  # type: ignore[operator]
    finally:
        log.removeHandler(handler)
    return stream.getvalue()


@pytest.mark.parametrize(
    "emit",
    [
        lambda log: log.warning("refused: %s", FORGED),
        lambda log: log.warning(FORGED),
        lambda log: log.warning("%r", FORGED.encode()),
        lambda log: log.info("x" * 100_000),
    ],
)
def test_an_entry_is_one_line_of_text(emit: object) -> None:
    text = logged(emit)
    assert text.count("\n") == 1
    assert text.endswith("\n")
    assert text[:-1].isprintable()
    assert len(text) < 5_000


def test_what_an_exception_says_stands_indented_below() -> None:
    def emit(log: logging.Logger) -> None:
        try:
            raise ValueError(FORGED + " 4111")
        except ValueError:
            log.exception("failed", stack_info=True)

    first, *below = logged(emit).splitlines()
    assert first.endswith("failed")
    assert below
    assert all(line.startswith("    ") for line in below), below
    assert all(line.isprintable() for line in below)
    assert any("[card]" in line for line in below)
    assert not any("4111" in line for line in below)


def test_what_another_handler_has_formatted_is_not_taken_over() -> None:
    """logging keeps the first handler's text of an exception for all others."""

    def emit(log: logging.Logger) -> None:
        try:
            raise ValueError("4111")
        except ValueError as error:
            record = log.makeRecord(log.name, logging.ERROR, __file__, 1, "failed", (), (ValueError, error, None))
        logging.Formatter().format(record)
        log.handle(record)

    assert "4111" not in logged(emit)


def test_an_entry_that_a_call_makes_begins_with_its_id_whoever_writes_it() -> None:
    def emit(log: logging.Logger) -> None:
        log.warning("the recording ends")
        log.warning("call one: its clip is missing")
        mine = CALL.set("one")
        try:
            log.warning("the recording ends")
            log.warning("call one: its clip is missing")
        finally:
            CALL.reset(mine)
        log.warning("the recording ends")

    said = [line.split(": ", 1)[1] for line in logged(emit).splitlines()]
    clip, bare, named = "call one: its clip is missing", "the recording ends", "call one: the recording ends"
    assert said == [bare, clip, named, clip, bare]


def test_what_is_nobodys_to_read_is_out_of_a_calls_entry_too() -> None:
    token = CALL.set("one")
    try:
        text = logged(lambda log: log.debug("heard 4111"))
    finally:
        CALL.reset(token)
    assert "call one: heard [card]" in text
