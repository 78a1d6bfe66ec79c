"""The routes for the numbers of the carriers' accounts: list them, point one here, put it back, give it back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from quart import Quart, Response

from callflow.contracts import addresses
from callflow.contracts.errors import BadRequest, NumberRefused
from callflow.contracts.numbers import OwnNumber, Pointed, PointingPlan
from callflow.history.history import History
from callflow.history.tables import iso
from callflow.switchboard.number_service import NumberService, previous, shown
from callflow.web.console.identity import own_business
from callflow.web.responses import error_response, history_not_open, json_object, json_response, unknown_names


_KINDS: Final[Mapping[str, tuple[type, str]]] = {
    "carrier": (str, "a text"),
    "yes": (bool, "true or false"),
    "confirm": (str, "a text"),
}


_SHARED: Final = (
    "This number cannot be pointed here by itself: others, or what its carrier has set up for it, would change along."
)
_ASK_THE_OWNER: Final = "Ask whoever runs this server."


def add_numbers(
    app: Quart,
    service: Callable[[], NumberService],
    history: History,
    address: Callable[[], str],
    business_of: Callable[[str], str],
) -> None:
    """Add the routes to the app. `address`: returns our public address; "": it is not known. `business_of`: returns
    whose a number is; "": nobody's in particular."""

    async def asked(*names: str) -> dict[str, Any]:
        return _checked(await json_object(f'{{"{names[0]}": …}}', may_be_empty=True), names)

    @app.get("/api/numbers")
    async def list_numbers() -> Response:
        """List the numbers of all accounts: where their calls go, whether that is here, and what overrides it."""
        known = address()
        found = await service().listed(known)
        business = own_business()
        numbers = [
            _number(one, kept, whose)
            for one, kept in found.numbers
            if business in ("", whose := business_of(one.number))
        ]
        return json_response({"address": known, "numbers": numbers, "problems": list(found.problems)})

    @app.post("/api/numbers/<number>/point")
    async def point(number: str) -> Response:
        """Bring the calls of a number here. What that does beyond it needs `{"yes": true}`."""
        body = await asked("yes", "carrier")
        if not history.is_readable:
            return history_not_open()
        known = address()
        if not known:
            raise NumberRefused(409, "The public address of this server is not known: set PUBLIC_BASE_URL.")
        plan = await service().plan(number, known, body.get("carrier", ""))
        if plan.consequences and own_business():
            raise NumberRefused(409, _SHARED, _ASK_THE_OWNER)
        if plan.consequences and not body.get("yes"):
            also = (f"Besides, {each}." for each in plan.consequences)
            raise NumberRefused(409, *also, 'Nothing was changed: send {"yes": true} to do it all the same.')
        pointed = await service().point(plan)
        changed = {name: shown(value) for part in plan.parts for name, value in part.changes.items()}
        return json_response({**_named(plan), "changed": changed, "previous": previous(pointed)})

    @app.post("/api/numbers/<number>/undo")
    async def undo(number: str) -> Response:
        """Put back where a number led before. What somebody else has changed meanwhile needs `{"yes": true}`."""
        body = await asked("yes", "carrier")
        if not history.is_readable:
            return history_not_open()
        told = await service().undo(number, body.get("carrier", ""), yes=body.get("yes", False))
        return json_response({"number": number, "done": told})

    @app.delete("/api/numbers/<number>")
    async def release(number: str) -> Response:
        """Give a number back to its carrier, for ever: `{"confirm": "+15550100002"}`."""
        body = await asked("confirm", "carrier")
        if not history.is_readable:
            return history_not_open()
        released = await service().release(number, body.get("confirm"), body.get("carrier", ""))
        return json_response({"number": released, "released": True})

    @app.errorhandler(NumberRefused)
    async def refused(error: NumberRefused) -> Response:
        return error_response(error.status, " ".join(error.reasons), error.reasons)


def _checked(body: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    """Return the body. Raises BadRequest for what does not belong into it."""
    problems = unknown_names(body, names)
    for name in names:
        kind, told = _KINDS[name]
        if not isinstance(body.get(name, kind()), kind):
            problems.append(f"{name} must be {told}.")
    if problems:
        raise BadRequest(400, *problems)
    return body


def _named(plan: PointingPlan) -> dict[str, Any]:
    return {"number": plan.number.number, "carrier": plan.number.carrier, "address": plan.address}


def _number(one: OwnNumber, kept: Pointed | None, business: str) -> dict[str, Any]:
    undo = None
    if kept is not None:
        undo = {"at": iso(kept.at), "temporary": kept.temporary, "previous": previous(kept)}
    return {
        "number": one.number,
        "carrier": one.carrier,
        "id": one.id,
        "name": one.name,
        "leadsTo": addresses.shown(one.leads_to) if "://" in one.leads_to else one.leads_to,
        "here": one.is_here,
        "business": business or None,
        "overrides": list(one.overrides),
        "lacks": list(one.lacks),
        "undo": undo,
    }
