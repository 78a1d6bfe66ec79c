"""Reads which calls of the history a request is about: the parameters that list, export and figures have in common."""

from __future__ import annotations

import re
from typing import Any, Final

from quart import request

from callflow.contracts.errors import BadQuery
from callflow.contracts.hangup_causes import meant_by
from callflow.contracts.printable import quoted
from callflow.history.query import MOST, Ending, Query
from callflow.telemetry.call_results import KNOWN_CAUSES, ORDINARY, causes_of
from callflow.telemetry.metrics import RESULTS
from callflow.web.console.identity import own_business


MOST_ROW: Final = (1 << 31) - 1
"""The largest id in every database."""
TEXTS: Final = {
    "number": ("number",),
    "caller": ("caller", "callerNumber"),
    "called": ("called", "phoneNumber"),
    "called_id": ("phoneNumberSid",),
    "words": ("text", "q", "query", "search"),
    "since": ("from", "since", "start", "startDate"),
    "until": ("to", "until", "end", "endDate"),
    "carrier": ("carrier",),
    "profile": ("profile",),
}
"""Fields of a `Query` that are texts, and the parameters that set them."""
FILTERS: Final = (*(name for names in TEXTS.values() for name in names), "live", "direction", "result")
"""The parameters that say which calls."""
PAGE: Final = (*FILTERS, "limit", "before", "offset")
"""All the parameters of a query."""
_CAUSE: Final = re.compile("[a-z][a-z_]{1,63}")
_SUCCESS: Final = "success"
_CALLER: Final = "caller"
_CARRIER: Final = "carrier"


def read_query(default: int, **fixed: Any) -> Query:
    """Read the query of the request. `default`: the default limit. `fixed`: fields set by the path. Raises
    BadQuery."""
    asked = {name: parameter(*spellings) for name, spellings in TEXTS.items()}
    live = {"": None, "true": True, "false": False}[one_of("live", "true", "false")]
    page = {
        "limit": whole_number("limit", default, 1, MOST),
        "before": whole_number("before", 0, 0, MOST_ROW),
        "offset": whole_number("offset", 0, 0, MOST_ROW),
    }
    more = {"direction": one_of("direction", "inbound", "outbound"), "ending": _ending(parameter("result"))}
    return Query(**{**asked, "live": live, **more, **page, **fixed, "business": own_business()})


def _ending(result: str) -> Ending | None:
    """Return how calls of a result have ended. `result`: one of RESULTS, or a cause; "": any. Raises BadQuery."""
    if not result:
        return None
    if result == _CARRIER:  # carriers send causes that nobody knows
        others = [*ORDINARY, *(cause for each in RESULTS if each != _CARRIER for cause in causes_of(each))]
        return Ending(tuple(others), but=True)
    if result in RESULTS:
        heard = {_SUCCESS: True, _CALLER: False}.get(result)
        return Ending(causes_of(result), ordinary=() if heard is None else tuple(sorted(ORDINARY)), heard=bool(heard))
    if _CAUSE.fullmatch(result) and (result in KNOWN_CAUSES or result.endswith("_failed")):
        return Ending(meant_by(result))
    raise BadQuery(f"result must be {', '.join(RESULTS)}, or a cause such as no_answer, not {quoted(result)}")


# Single parameters


def parameter(*names: str) -> str:
    """Return one parameter, under any of its names; "": it is missing. Raises BadQuery."""
    found = [value.strip() for name in names for value in request.args.getlist(name) if value.strip()]
    if len(found) > 1:
        raise BadQuery(f"{' or '.join(names)} must be given once")
    return found[0] if found else ""


def one_of(name: str, *possible: str) -> str:
    """Return a parameter that is one of these words, in lower case; "": it is missing. Raises BadQuery."""
    found = parameter(name).lower()
    if found and found not in possible:
        raise BadQuery(f"{name} must be {' or '.join(possible)}")
    return found


def whole_number(name: str, default: int, least: int, most: int) -> int:
    """Return a parameter that is a whole number in ASCII digits, within bounds. Raises BadQuery."""
    found = parameter(name)
    if not found:
        return default
    if not re.fullmatch("[0-9]{1,20}", found) or not least <= int(found) <= most:
        raise BadQuery(f"{name} must be a whole number from {least} to {most}, not {quoted(found)}")
    return int(found)
