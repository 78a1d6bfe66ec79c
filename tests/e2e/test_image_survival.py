"""The model was shown a picture, and the process is killed: the next one shows it again. Over real processes."""

from __future__ import annotations

import base64
from typing import Any

from callflow.sandbox.openai_realtime import Script, Session
from tests.e2e.product import until
from tests.e2e.test_line_survival import ENV, do
from tests.e2e.test_outbound_survival import dial, dialling_office, leg, over
from tests.web.console.test_image_uploads import picture


def seen(session: Session) -> list[str]:
    items = [each.event["item"] for each in session.received if each.event["type"] == "conversation.item.create"]
    return [str(part["image_url"]) for item in items for part in item.get("content", ()) if "image_url" in part]


async def test_a_picture_is_shown_again_after_a_crash_and_known_by_its_words() -> None:
    async with dialling_office(**ENV) as one:
        one.realtime.script = Script.tone(0.4)
        assert (await dial(one)).status_code == 201
        call = leg(one)
        call.pick_up()
        await call.wait_streaming(15)
        await call.phone.hears(0.3)
        url = f"data:image/png;base64,{base64.b64encode(picture()).decode()}"
        told: dict[str, Any] = {"url": url, "text": "The menu of today."}
        assert (await do(one, "images", told)).status_code == 202
        before = await one.realtime.wait_session(1)
        await until(lambda: seen(before), "the picture")
        await until(lambda: one.rows("SELECT 1 FROM steps WHERE event LIKE '%image_shown%'"), "it to be on record")
        await one.stop()
        await one.start()
        after = await one.realtime.wait_session(2, 15)
        await until(lambda: seen(after), "the picture again", 15)
        assert seen(after) == seen(before)
        await until(lambda: "The menu of today." in str([each.event for each in after.received]), "its words")
        assert after.violations == []
        await call.hang_up()
        await over(one)
