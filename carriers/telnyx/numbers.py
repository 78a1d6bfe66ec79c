"""The numbers of a Telnyx account, and the Voice API applications that get their calls.

Facts from Telnyx's documentation (developers.telnyx.com, Phone numbers, Call Control applications):

- A number is assigned to a connection; a Voice API application is one kind of connection. Its `webhook_event_url` gets
  the calls of all its numbers.
- Changing an application needs its `application_name` and `webhook_event_url`, also when something else is changed.
- Webhooks of `webhook_api_version` "1", the default, have another shape. An application that is not active takes no
  calls.
- Lists come in pages: `page[number]` from 1, `page[size]` of at most 250, and `meta.total_pages`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

from callflow.contracts import addresses
from callflow.contracts.diagnostics import Finding
from callflow.contracts.errors import CarrierError
from callflow.contracts.numbers import OwnNumber, Part, PointingPlan, Value
from carriers.common.http_client import Api
from carriers.telnyx.diagnostics import find_application
from carriers.telnyx.webhooks import text


_PAGE: Final = 250
_MOST_PAGES: Final = 400
_MOST_SHOWN: Final = 5
LONGEST: Final = 10_000
"""Characters of a value: it is put back as it was, so that nothing of it may be cut off."""
_PATHS: Final = {"application": "/call_control_applications", "number": "/phone_numbers"}

Resource = Mapping[str, Any]


class TelnyxNumbers:
    """The account's numbers, as a `callflow.contracts.numbers.NumberAccount`."""

    def __init__(self, api: Api, *, paths: Sequence[str], connection_id: str) -> None:
        """`paths`: where this server takes webhooks; the first one is set. `connection_id`: our application's; "": the
        only one, or the one that sends its webhooks to us."""
        self._api = api
        self._paths = tuple(paths)
        self._connection_id = connection_id

    async def list_numbers(self, address: str) -> list[OwnNumber]:
        """List all numbers. Raises CarrierError."""
        applications = await self.applications()
        ours = find_application(list(applications.values()), address, self._connection_id)
        own = "" if isinstance(ours, Finding) else id_of(ours)
        return [self._own(one, applications, own, address) async for one in self.pages("number", {})]

    async def plan(self, number: str, address: str) -> PointingPlan | None:
        """Look up what has to be changed so that the calls of a number come to `address`. Raises CarrierError."""
        params = {"filter[phone_number]": number}  # also finds numbers that contain these digits
        found = [one async for one in self.pages("number", params) if one.get("phone_number") == number]
        if not found:
            return None
        applications = await self.applications()
        ours = find_application(list(applications.values()), address, self._connection_id)
        if isinstance(ours, Finding):
            raise CarrierError(f"{ours.what}: {ours.remedy}")
        before = _of_application(ours)
        urls = self._urls(address)
        held = str(before["webhook_event_url"])
        url = held if addresses.place(held) in urls else urls[0]
        application = Part(
            f"application/{id_of(ours)}",
            before,
            {"webhook_event_url": url, "webhook_api_version": "2", "active": True},
        )
        connection = text(found[0], "connection_id", 64)
        assignment = Part(f"number/{id_of(found[0])}", {"connection_id": connection}, {"connection_id": id_of(ours)})
        consequences = await self._others(ours, number) if application.changes else []
        if connection and connection not in applications:
            consequences.append(f"it is taken out of the connection {_named(found[0])}")
        own = self._own(found[0], applications, id_of(ours), address)
        return PointingPlan(own, address, (application, assignment), tuple(consequences))

    async def values(self, part: Part) -> Mapping[str, Value]:
        """Return what the fields of an application or a number hold now. Raises CarrierError."""
        one = await self.get(part.resource)
        if part.resource.startswith("application/"):
            return _of_application(one)
        return {"connection_id": text(one, "connection_id", 64)}

    async def change(self, resource: str, values: Mapping[str, Value | None]) -> None:
        """Change an application, or the assignment of a number. Raises CarrierError."""
        body: dict[str, Any] = dict(values)
        if resource.startswith("application/"):
            one = await self.get(resource)
            required = {name: text(one, name, LONGEST) for name in ("application_name", "webhook_event_url")}
            body = {**required, **body}
        await self._api.request("PATCH", _path(resource), json=body)

    async def release(self, number_id: str) -> None:
        """Give a number back. Raises CarrierError; sent once only, because a second answer would say 404."""
        await self._api.request("DELETE", _path(f"number/{number_id}"), repeatable=False)

    def _urls(self, address: str) -> list[str]:
        return [f"{address}{path}" for path in self._paths] if address else []

    def _own(self, one: Resource, applications: Mapping[str, Resource], ours: str, address: str) -> OwnNumber:
        connection = text(one, "connection_id", 64)
        application = applications.get(connection)
        overrides: list[str] = []
        leads_to, is_here = "", False
        if application is not None:
            leads_to = text(application, "webhook_event_url", LONGEST)
            is_here = addresses.place(leads_to) in self._urls(address)
            if not is_here and ours and connection != ours:
                overrides.append(f"it is assigned to another application, “{text(application, 'application_name')}”")
            fields = _of_application(application)
            if not fields["active"]:
                overrides.append("its application is not active")
            if fields["webhook_api_version"] != "2":
                version = fields["webhook_api_version"]
                overrides.append(f"its application sends webhooks of version {version}, which nobody here reads")
        elif connection:
            leads_to = f"connection {_named(one)}"
            overrides.append(f"it is assigned to the connection {_named(one)}, which is no Voice API application")
        return OwnNumber(
            "telnyx",
            id_of(one),
            text(one, "phone_number", 32),
            text(one, "customer_reference"),
            leads_to,
            is_here and not overrides,
            tuple(overrides),
        )

    async def _others(self, application: Resource, number: str) -> list[str]:
        """Tell which other numbers an application has: their calls move along with its webhook."""
        params = {"filter[connection_id]": id_of(application)}
        found = [text(one, "phone_number", 32) async for one in self.pages("number", params)]
        others = [one for one in found if one and one != number]
        if not others:
            return []
        shown = ", ".join(others[:_MOST_SHOWN]) + (" …" if len(others) > _MOST_SHOWN else "")
        what = f"{len(others)} other number{'s' if len(others) > 1 else ''} ({shown})"
        return [f"the application “{text(application, 'application_name')}” also gets the calls of {what}"]

    async def our_application(self, address: str) -> Resource:
        """Return the application whose webhooks come to `address`, or that is named. Raises CarrierError."""
        ours = find_application(list((await self.applications()).values()), address, self._connection_id)
        if isinstance(ours, Finding):
            raise CarrierError(f"{ours.what}: {ours.remedy}")
        return ours

    async def applications(self) -> dict[str, Resource]:
        """Return the account's Voice API applications by id. Raises CarrierError."""
        return {id_of(one): one async for one in self.pages("application", {})}

    async def pages(self, kind: str, params: Mapping[str, str]) -> AsyncIterator[Resource]:
        """Yield what a list holds, page by page to its end. Raises CarrierError."""
        for page in range(1, _MOST_PAGES + 1):
            asked = {**params, "page[number]": str(page), "page[size]": str(_PAGE)}
            answer = await self._api.request("GET", _PATHS[kind], params=asked, retries=1)
            data = answer.get("data") if isinstance(answer, dict) else None
            if not isinstance(data, list):
                raise CarrierError("Telnyx's answer holds no list")
            for one in data:
                if isinstance(one, dict):
                    yield one
            meta = answer.get("meta")
            pages = meta.get("total_pages") if isinstance(meta, dict) else None
            if not data or not isinstance(pages, int) or page >= pages:
                return
        raise CarrierError(f"Telnyx's list has more than {_MOST_PAGES} pages")

    async def get(self, resource: str) -> Resource:
        """Return an application or a number: `application/17`. Raises CarrierError."""
        answer = await self._api.request("GET", _path(resource), retries=1)
        found = answer.get("data") if isinstance(answer, dict) else None
        if not isinstance(found, dict):
            raise CarrierError("Telnyx's answer says nothing")
        return found


def _of_application(one: Resource) -> dict[str, Value]:
    return {
        "webhook_event_url": text(one, "webhook_event_url", LONGEST),
        "webhook_api_version": text(one, "webhook_api_version") or "1",
        "active": one.get("active") is not False,
    }


def id_of(one: Resource) -> str:
    """Return a resource's id."""
    return text(one, "id", 64)


def _named(one: Resource) -> str:
    name, connection = text(one, "connection_name"), text(one, "connection_id", 64)
    return f"“{name}” ({connection})" if name else connection


def _path(resource: str) -> str:
    kind, _, name = resource.partition("/")
    return f"{_PATHS[kind]}/{quote(name, safe='')}"
