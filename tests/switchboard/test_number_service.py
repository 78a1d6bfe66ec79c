"""Numbers at both emulated carriers: pointed here and put back, also by another process and after others' changes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from callflow.config.phone_numbers import Numbers
from callflow.config.settings import Settings
from callflow.contracts.errors import NumberRefused
from callflow.contracts.numbers import PointingPlan
from callflow.history.database import Database, url_of
from callflow.history.pointed_numbers import PointedNumbers
from callflow.sandbox.telnyx import CONNECTION_ID, ApiFault, Telnyx
from callflow.sandbox.telnyx.numbers import Application
from callflow.sandbox.twilio import ApiFault as TwilioFault
from callflow.sandbox.twilio import Twilio
from callflow.switchboard.number_service import NumberService
from callflow.switchboard.shielded_changes import ShieldedChanges
from carriers.registry import make_carriers
from tests.history.new_database import put_into


CARRIERS = ("telnyx", "twilio")
HERE = "https://phone.test"
OLD = "https://old.test"
NUMBER = "+15550100002"
OTHER = "+15550100003"


class Stage:
    def __init__(self, folder: Path, telnyx: Telnyx, twilio: Twilio) -> None:
        self.folder, self.telnyx, self.twilio = folder, telnyx, twilio
        self.application = telnyx.exchange.application

    @asynccontextmanager
    async def service(self, carrier: str = "", **options: Any) -> AsyncIterator[NumberService]:
        """A process of its own. `carrier`: the only one that is set up."""
        keys: dict[str, Any] = self.telnyx.settings() | self.twilio.settings()
        keys |= {"telnyx_connection_id": CONNECTION_ID, "command_retries": 0}
        keys = {name: value for name, value in keys.items() if not carrier or carrier in name or "command" in name}
        carriers = make_carriers(Settings(**keys), lambda: HERE)
        database = Database(url_of("", str(self.folder)))
        try:
            kept, shielded = PointedNumbers(database), ShieldedChanges()
            yield NumberService(carriers, kept, Numbers("US").e164_or_same, shielded=shielded, **options)
        finally:
            await database.close()
            for one in carriers:
                await one.close()

    def webhook(self, carrier: str, number: str = NUMBER) -> str:
        """Where the carrier sends the calls of a number."""
        if carrier == "twilio":
            return self.twilio.number(number).voice_url
        application = self.telnyx.exchange.account.application_of(number)
        return application.webhook_event_url if application is not None else ""

    def set_webhook(self, carrier: str, url: str) -> None:
        if carrier == "twilio":
            self.twilio.number(NUMBER).voice_url = url
        else:
            self.application.webhook_event_url = url


@asynccontextmanager
async def stage(folder: Path) -> AsyncIterator[Stage]:
    """Both carriers, each with one number that leads to another server."""
    await put_into(folder)
    async with Telnyx(webhook_url=f"{OLD}/webhooks") as telnyx, Twilio(OLD, voice="/voice", status="") as twilio:
        telnyx.number(NUMBER)
        twilio.number(NUMBER)
        yield Stage(folder, telnyx, twilio)


async def pointed(
    service: NumberService, carrier: str, number: str = NUMBER, address: str = HERE, **way: Any
) -> PointingPlan:
    plan = await service.plan(number, address, carrier)
    await service.point(plan, **way)
    return plan


async def refusal(work: Any, status: int) -> str:
    with pytest.raises(NumberRefused) as caught:
        await work
    assert caught.value.status == status, caught.value
    return str(caught.value)


async def test_all_numbers_of_both_accounts_are_listed(tmp_path: Path) -> None:
    async with stage(tmp_path) as the:
        for place in range(30):
            the.telnyx.number(f"+1555020{place:04d}", customer_reference="desk")
            the.twilio.number(f"+1555030{place:04d}")
        the.twilio.number().trunk_sid = "TK1"
        async with the.service() as service:
            found = await service.listed(HERE)
            assert len(found.numbers) == 62
            assert found.problems == []
            assert not any(one.is_here for one, _ in found.numbers)
            (trunk,) = (one for one, _ in found.numbers if one.overrides)
            assert (trunk.carrier, trunk.leads_to) == ("twilio", "trunk TK1")
            the.telnyx.webhook_url = f"{HERE}/webhooks"
            assert sum(one.is_here for one, _ in (await service.listed(HERE)).numbers) == 31
            assert not any(one.is_here for one, _ in (await service.listed("")).numbers)


async def test_a_carrier_that_cannot_be_asked_hides_no_other(tmp_path: Path) -> None:
    async with stage(tmp_path) as the, the.service() as service:
        the.telnyx.faults.api = [ApiFault("get", status=401) for _ in range(4)]
        found = await service.listed(HERE)
        assert [one.carrier for one, _ in found.numbers] == ["twilio"]
        assert found.problems == ["telnyx: Telnyx refused the command: HTTP 401 / 10009 Authentication failed."]


@pytest.mark.parametrize("carrier", CARRIERS)
async def test_a_number_is_pointed_here_and_another_process_puts_it_back(tmp_path: Path, carrier: str) -> None:
    async with stage(tmp_path) as the:
        before = the.webhook(carrier)
        async with the.service() as service:
            await pointed(service, carrier)
            assert the.webhook(carrier).startswith(HERE)
            (row,) = ((one, kept) for one, kept in (await service.listed(HERE)).numbers if one.carrier == carrier)
            assert (row[0].is_here, row[0].lacks) == (True, ())
            assert row[1] is not None
        async with the.service() as service:
            told = await service.undo(NUMBER, carrier)
            assert any(f"is {before} again" in line for line in told)
            assert the.webhook(carrier) == before
            await refusal(service.undo(NUMBER, carrier), 404)
        assert the.twilio.number().status_callback == ""


@pytest.mark.parametrize("carrier", CARRIERS)
async def test_what_somebody_else_has_changed_is_put_back_only_if_asked(tmp_path: Path, carrier: str) -> None:
    async with stage(tmp_path) as the, the.service(carrier) as service:
        before = the.webhook(carrier)
        await pointed(service, carrier)
        the.set_webhook(carrier, "https://third.test/")
        told = await refusal(service.undo(NUMBER), 409)
        assert "https://third.test/ now, which was not set from here" in told
        assert the.webhook(carrier) == "https://third.test/"
        await service.undo(NUMBER, yes=True)
        assert the.webhook(carrier) == before


@pytest.mark.parametrize("carrier", CARRIERS)
async def test_a_number_that_is_pointed_twice_goes_back_to_where_it_was_first(tmp_path: Path, carrier: str) -> None:
    async with stage(tmp_path) as the, the.service(carrier) as service:
        before = the.webhook(carrier)
        await pointed(service, carrier)
        await pointed(service, carrier, address="https://tunnel.test")
        await service.undo(NUMBER)
        assert the.webhook(carrier) == before


@pytest.mark.parametrize("carrier", CARRIERS)
async def test_what_is_pointed_until_the_stop_goes_back_to_what_was_pointed_for_good(
    tmp_path: Path, carrier: str
) -> None:
    async with stage(tmp_path) as the, the.service(carrier) as service:
        before = the.webhook(carrier)
        await pointed(service, carrier)
        here = the.webhook(carrier)
        await pointed(service, carrier, address="https://tunnel.test", temporary=True)
        await service.undo(NUMBER, temporary=True)
        assert the.webhook(carrier) == here
        await refusal(service.undo(NUMBER, temporary=True), 404)
        await service.undo(NUMBER)
        assert the.webhook(carrier) == before


async def test_what_overrides_a_number_is_taken_away_and_put_back(tmp_path: Path) -> None:
    async with stage(tmp_path) as the, the.service("twilio") as service:
        number = the.twilio.number()
        the.twilio.exchange.trunks.add("TK1")
        number.trunk_sid = "TK1"
        plan = await pointed(service, "twilio")
        assert plan.consequences == ("it is taken out of the trunk TK1",)
        assert number.trunk_sid == ""
        await service.undo(NUMBER)
        assert (number.trunk_sid, number.voice_url) == ("TK1", f"{OLD}/voice")


async def test_an_application_of_another_kind_and_one_that_is_off_are_put_right_and_back(tmp_path: Path) -> None:
    async with stage(tmp_path) as the, the.service("telnyx") as service:
        account = the.telnyx.exchange.account
        account.connections["99"] = "office"
        the.telnyx.number().connection_id, the.telnyx.number().connection_name = "99", "office"
        the.application.active, the.application.webhook_api_version = False, "1"
        plan = await pointed(service, "telnyx")
        assert plan.number.leads_to == "connection “office” (99)"
        assert the.telnyx.number().connection_id == CONNECTION_ID
        assert (the.application.active, the.application.webhook_api_version) == (True, "2")
        await service.undo(NUMBER)
        assert the.telnyx.number().connection_id == "99"
        assert (the.application.active, the.application.webhook_api_version) == (False, "1")
        assert the.application.webhook_event_url == f"{OLD}/webhooks"


async def test_an_application_stays_as_long_as_another_number_needs_it(tmp_path: Path) -> None:
    async with stage(tmp_path) as the, the.service("telnyx") as service:
        account = the.telnyx.exchange.account
        account.applications["17"] = Application("17", "other", webhook_event_url="https://other.test")
        the.telnyx.number(OTHER, connection_id="17")
        await pointed(service, "telnyx")
        await pointed(service, "telnyx", OTHER)
        told = await service.undo(NUMBER)
        assert any("another number leads here through it" in line for line in told)
        assert the.webhook("telnyx", OTHER) == f"{HERE}/webhooks"
        await service.undo(OTHER)
        assert the.webhook("telnyx", OTHER) == "https://other.test"
        assert the.application.webhook_event_url == f"{OLD}/webhooks", "what the first one had to put back"


async def test_numbers_that_move_along_are_told(tmp_path: Path) -> None:
    async with stage(tmp_path) as the, the.service("telnyx") as service:
        the.telnyx.number(OTHER)
        plan = await service.plan(NUMBER, HERE)
        assert plan.consequences == (f"the application “sandbox” also gets the calls of 1 other number ({OTHER})",)
        assert the.webhook("telnyx") == f"{OLD}/webhooks", "a plan changes nothing"


async def test_a_change_that_fails_half_way_is_put_back(tmp_path: Path) -> None:
    async with stage(tmp_path) as the, the.service("telnyx") as service:
        the.telnyx.exchange.account.connections["99"] = "office"
        the.telnyx.number().connection_id = "99"
        plan = await service.plan(NUMBER, HERE)
        the.telnyx.exchange.account.numbers[NUMBER].id = "gone"
        told = await refusal(service.point(plan), 502)
        assert "Nothing of it is left" in told
        assert the.application.webhook_event_url == f"{OLD}/webhooks"
        await refusal(service.undo(NUMBER), 404)


async def test_a_change_that_cannot_be_put_back_either_can_be_undone_later(tmp_path: Path) -> None:
    async with stage(tmp_path) as the, the.service("twilio") as service:
        plan = await service.plan(NUMBER, HERE)
        the.twilio.faults.api = [TwilioFault("number", lose_response=True), TwilioFault("number", status=503)]
        the.twilio.faults.api.append(TwilioFault("number", status=503))
        told = await refusal(service.point(plan), 502)
        assert f"undo {NUMBER} puts it back" in told
        assert the.webhook("twilio").startswith(HERE), "the change had its effect, and its answer was lost"
        await service.undo(NUMBER)
        assert the.webhook("twilio") == f"{OLD}/voice"


async def test_a_number_of_both_carriers_needs_its_carrier(tmp_path: Path) -> None:
    async with stage(tmp_path) as the, the.service() as service:
        assert "say which (telnyx, twilio)" in await refusal(service.plan(NUMBER, HERE), 409)
        assert "no carrier" in await refusal(service.plan(NUMBER, HERE, "vonage"), 400)
        assert "has the number" in await refusal(service.plan("+15550199999", HERE), 404)
        assert "no telephone number" in await refusal(service.plan("sales", HERE), 400)
        assert (await service.plan("(555) 010-0002", HERE, "twilio")).number.number == NUMBER


async def test_a_release_needs_the_number_once_more_and_the_setting(tmp_path: Path) -> None:
    async with stage(tmp_path) as the:
        async with the.service("twilio") as service:
            for confirm in (None, "", True, OTHER, "yes"):
                await refusal(service.release(NUMBER, confirm), 400)
            assert "ALLOW_NUMBER_RELEASE" in await refusal(service.release(NUMBER, NUMBER), 403)
        assert NUMBER in the.twilio.exchange.numbers
        async with the.service("twilio", may_release=True) as service:
            await pointed(service, "twilio")
            assert await service.release(NUMBER, " +1 555 010 0002\n") == NUMBER
            assert NUMBER not in the.twilio.exchange.numbers
            await refusal(service.release(NUMBER, NUMBER), 404)
            await refusal(service.undo(NUMBER), 404)
