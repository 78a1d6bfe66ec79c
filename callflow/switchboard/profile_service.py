"""The profiles of the database: read at start and whenever another process has changed them, changed one at a time.

A change is checked whole, with all other profiles, before anything is kept. It holds from the next call on; calls that
have begun keep the version under which they began.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from callflow.config import display, kept_profiles, session_names
from callflow.config.call_settings import CallSettings
from callflow.config.kept_profiles import NUMBERS, Asked, KeptProfile, label_of
from callflow.config.setting_names import present
from callflow.contracts.errors import ProfileRefused, SessionRefused
from callflow.contracts.printable import quoted
from callflow.history.kept_profiles import Change, ProfileStore, StoredProfiles
from callflow.switchboard.call_configs import Began, CallConfigs, Rules
from callflow.switchboard.setting_versions import compared, entry


log = logging.getLogger(__name__)

FILE: Final = "file"
DATABASE: Final = "database"
BOTH: Final = "both"
_LOOK_SECONDS: Final = 2.0
"""How often it is looked whether another process has changed something."""
_TRIES: Final = 5
_MOST_NAMED: Final = 8
_NOT_KNOWN: Final = "The profiles of the database are not known, because it cannot be read: they do not hold."
_OTHERS: Final = "Others are changing profiles at the same moment, so nothing was changed: try again."
_NO_VERSION: Final = "There is no such version of this profile, or it is kept no more."
_IN_FILE: Final = "This profile stands in settings.toml only, and is deleted there."


class ProfileService:
    """All profiles, as operators see and change them."""

    def __init__(self, configs: CallConfigs, store: ProfileStore, told: Callable[[], list[str]]) -> None:
        """`told`: returns a warning line for each present setting that has no effect."""
        self._configs, self._store, self._told = configs, store, told
        self._stored = StoredProfiles()
        self._seen: tuple[Any, ...] = ()
        """The newest change that `load` has seen."""
        self.is_known = False
        """The database has been read."""
        self._secrets = display.secrets_of(configs.settings)

    # What the database has

    async def load(self) -> None:
        """Read the database. Raises the driver's exceptions."""
        async with self._configs.changing:
            seen = await self._store.newest()
            await self._adopt(await self._store.read())
            self._seen = seen

    async def follow(self, load: Callable[[], Awaitable[None]]) -> None:
        """Call `load`, which calls `load` of this service first, soon after another process has changed a profile or
        what is kept for all numbers. Never returns."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            try:
                if await self._store.newest() != self._seen:
                    await load()
            except Exception as error:  # the history tells loudly that the database is away
                log.debug("it cannot be found out whether profiles have changed: %s", type(error).__name__)

    async def _adopt(self, stored: StoredProfiles) -> None:
        if stored != self._stored or not self.is_known:
            rules = await asyncio.to_thread(self._rules, self._decoded(stored))
            for name in rules.profiles.kept.keys() | self._configs.rules.profiles.kept.keys():
                new, old = (one.profiles.kept.get(name) for one in (rules, self._configs.rules))
                if new != old:
                    what = f"version {new.version} holds for coming calls" if new else "it is gone"
                    log.info("%s: %s (GET /api/profiles)", label_of(name), what)
            self._configs.rules = rules
        self._stored, self.is_known = stored, True

    def _rules(self, kept: Callable[[], Sequence[KeptProfile]]) -> Rules:
        return self._configs.rules_under(self._configs.rules.overrides, kept())

    def _decoded(self, stored: StoredProfiles) -> Callable[[], list[KeptProfile]]:
        settings, known = self._configs.settings, {one.name: one for one in self._configs.rules.kept}
        before = self._stored

        def decode() -> list[KeptProfile]:
            found = []
            for name, rows in stored.rows.items():
                is_known = name in known and before.rows.get(name) == rows
                version = stored.version(name)
                one = known[name] if is_known else kept_profiles.decode(name, rows, settings, version)
                found.append(replace(one, version=version))
            return found

        return decode

    async def prepare(self, overrides: Mapping[str, Any], began: Began) -> None:
        """Make the configs for a call that is being restored: see `CallConfigs.prepare`."""
        name, version = began
        kept = None
        if version:
            try:
                row = await self._store.version(name, version)
            except Exception as error:
                log.error("%s: version %d cannot be read: %s", label_of(name), version, type(error).__name__)
                row = None
            if row is not None and row["settings"] is not None:
                kept = await asyncio.to_thread(self._of_version, name, row)
        await asyncio.to_thread(self._configs.prepare, overrides, began, kept)

    def _of_version(self, name: str, row: Mapping[str, Any]) -> KeptProfile:
        whole = json.loads(row["settings"])
        rows = {key: json.dumps(value) for key, value in whole.items()}
        return kept_profiles.decode(name, rows, self._configs.settings, row["version"])

    # Changes

    async def put(
        self, name: str, body: Mapping[str, Any], *, by: str, whole: bool, business: str = ""
    ) -> dict[str, Any]:
        """Change a profile. `body`: its numbers and a session of the Realtime API, or names of settings.

        `whole`: it has these settings and no others; otherwise null takes one back, and the first change of a profile
        that stands in settings.toml begins with what it has there. `business`: of whoever asks, which is the profile's
        and stays so; "": they are bound to none. Returns the result of `describe`. Raises ProfileRefused or the
        driver's exceptions; then nothing has changed.
        """
        if problem := kept_profiles.name_problem(name):
            raise ProfileRefused(400, problem)
        try:
            asked = await asyncio.to_thread(kept_profiles.read, body, self._configs.settings)
        except SessionRefused as refusal:
            raise ProfileRefused(400, *refusal.problems) from None

        if business and asked.values.get("business", business) != business:
            raise ProfileRefused(400, f"business must be {quoted(business)}.")

        is_nothing = not whole and not asked.values and not asked.gone and asked.numbers is None

        def change(present: KeptProfile | None) -> KeptProfile:
            return _changed(name, None if whole else present, asked, business)

        await self._change(name, change, by, asked.version, make=whole, business=business, is_nothing=is_nothing)
        return await self.describe(name, asked.warnings, business)

    async def restore(
        self, name: str, version: int, *, by: str, seen: int | None = None, business: str = ""
    ) -> dict[str, Any]:
        """Make an earlier version the newest. `seen`: the version that whoever asks has seen; None: they do not say.
        `business`: as for `put`.

        Raises ProfileRefused or the driver's exceptions.
        """
        row = await self._store.version(name, version)
        if row is None or not self._is_version_of(row, business) or name == kept_profiles.RESERVED:
            raise ProfileRefused(404, _NO_VERSION)
        if row["settings"] is None:
            raise ProfileRefused(
                409, f"In version {version} the profile was deleted: DELETE /api/profiles/NAME does that."
            )
        old = await asyncio.to_thread(self._of_version, name, row)
        if old.problems:
            lines = (f"{line[:1].upper()}{line[1:].rstrip('.')}." for line in old.problems)
            raise ProfileRefused(409, "This version cannot be used any more.", *lines)
        await self._change(name, lambda _: old, by, seen, make=True, business=business)
        return await self.describe(name, business=business)

    async def delete(self, name: str, *, by: str, seen: int | None = None) -> None:
        """Keep a profile no more; one of that name in settings.toml holds again. Raises ProfileRefused or the driver's
        exceptions."""
        await self._change(name, lambda _: None, by, seen)

    async def _change(
        self,
        name: str,
        change: Callable[[KeptProfile | None], KeptProfile | None],
        by: str,
        seen: int | None,
        *,
        make: bool = False,
        business: str = "",
        is_nothing: bool = False,
    ) -> None:
        """Keep what `change` makes of the present profile. `make`: also if there is none yet. `business`: whose the
        profile and its numbers must be, before and after; "": anybody's. `is_nothing`: only look whether it might be
        changed, because the change leaves all as it is."""
        async with self._configs.changing:
            for _ in range(_TRIES):
                await self._adopt(await self._store.read())
                if not self._is_of(name, business):
                    raise ProfileRefused(*self._not_there(name))
                newest = self._change_of(name).version
                if seen is not None and seen != newest:
                    raise ProfileRefused(
                        409, f"Version {seen} is not the newest any more, but {newest}: look at it, and ask again."
                    )
                after = await asyncio.to_thread(self._checked, name, change, make, business)
                if is_nothing:
                    return
                rows = after.encoded() if after is not None else None
                version = await self._store.put(name, rows, by=by, seen=self._stored.seq)
                if version is not None:
                    await self._adopt(await self._store.read())
                    return
        raise ProfileRefused(503, _OTHERS)

    def _check_numbers(self, after: KeptProfile, business: str) -> None:
        """Raise ProfileRefused unless each number belongs to the business already: others are not its to take."""
        foreign = [each for each in after.numbers if self._configs.business_of(each)[0] != business]
        if foreign:
            raise ProfileRefused(400, *(f"{quoted(each)} is no number of this business." for each in foreign[:20]))

    def _is_of(self, name: str, business: str) -> bool:
        """Return whether there is such a profile of the business; True for those who are bound to none."""
        if name == kept_profiles.RESERVED:  # the settings of all numbers, which are no profile
            return False
        if not business:
            return True
        is_there = self._present(name) is not None or name in self._configs.rules.profiles.in_file
        return is_there and self._business(name) == business

    def _is_version_of(self, row: Mapping[str, Any], business: str) -> bool:
        """Return whether a version was one of the business; of one that says nothing, nobody knows."""
        whole = json.loads(row["settings"] or "{}")
        return not business or bool(whole and whole.get("business", self._configs.rules.settings.business) == business)

    def _checked(
        self, name: str, change: Callable[[KeptProfile | None], KeptProfile | None], make: bool, business: str
    ) -> KeptProfile | None:
        """Return the profile after the change. Raises ProfileRefused."""
        rules = self._configs.rules
        others = [one for one in rules.kept if one.name != name]
        present = next((one for one in rules.kept if one.name == name), None)
        after = change(present or self._of_file(name))
        if after is None:
            if present is None:
                raise ProfileRefused(*((409, _IN_FILE) if name in rules.profiles.in_file else self._not_there(name)))
            return None
        if not make and present is None and name not in rules.profiles.in_file:
            raise ProfileRefused(*self._not_there(name))
        if business:
            self._check_numbers(after, business)
        problems = kept_profiles.bounds(after, others)
        if not problems:
            profiles = self._configs.rules_under(rules.overrides, [*others, after]).profiles
            problems = [*profiles.refused.get(name, ()), *profiles.claims.get(name, ())]
            problems = [f"{line[:1].upper()}{line[1:].rstrip('.')}." for line in problems]
        if problems:
            raise ProfileRefused(400, *problems)
        return after

    def _of_file(self, name: str) -> KeptProfile | None:
        """Return a profile of settings.toml as the database would keep it; None: there is none."""
        profiles = self._configs.rules.profiles
        if (table := profiles.in_file.get(name)) is None or name in profiles.kept:
            return None
        settings = profiles.all()[name]
        values = {key: getattr(settings, key) for key in table if key in CallSettings.model_fields}
        return KeptProfile(name, tuple(table[NUMBERS]), values)

    def _change_of(self, name: str) -> Change:
        return self._stored.changes.get(name, Change(0, "", ""))

    def _not_there(self, name: str) -> tuple[int, str]:
        return 404, f"There is no profile {quoted(name)}: GET /api/profiles lists them, and PUT makes one."

    # What is told

    async def listed(self, business: str = "") -> dict[str, Any]:
        """Return all profiles, each with its `name`, `origin` (`file`, `database`, `both`: the database's holds),
        `numbers`, `version` (0: never changed here), `changed`, `by` and `warnings`; and `warnings` about no single
        one. `business`: those of this one only; "": all."""
        return await asyncio.to_thread(self._listed, business)

    def _listed(self, business: str) -> dict[str, Any]:
        profiles = self._configs.rules.profiles
        names = sorted({*profiles.in_file, *(one.name for one in self._configs.rules.kept)})
        names = [name for name in names if self._is_of(name, business)]
        warnings = self.warnings
        return {
            "profiles": [self._head(name, warnings, business) for name in names],
            "warnings": [] if self.is_known else [_NOT_KNOWN],
        }

    def summary(self) -> str:
        """Return which profiles there are, and where, in a line; "": none."""
        profiles = self._configs.rules.profiles
        in_file = [name for name in profiles.in_file if name not in profiles.kept]
        places = ((profiles.kept, "in the database: GET /api/profiles"), (in_file, "in settings.toml"))
        return "; ".join(f"{_few(sorted(names))} ({where})" for names, where in places if names)

    def _head(self, name: str, warnings: Sequence[str], business: str) -> dict[str, Any]:
        change = self._change_of(name)
        labels = tuple(
            f"{label}{end}" for label in (label_of(name), f"settings.toml, profile {name}", f"profile {name}")
            for end in (": ", " is not used")
        )  # fmt: skip
        kept, table = self._present(name), self._configs.rules.profiles.in_file.get(name)
        claims = self._configs.rules.profiles.claims.get(name, ()) if business else ()  # they name others' profiles
        return {
            "name": name,
            "origin": FILE if kept is None else BOTH if table is not None else DATABASE,
            NUMBERS: list(kept.numbers if kept is not None else table[NUMBERS] if table is not None else ()),
            "version": change.version,
            "changed": change.at or None,
            "by": change.by or None,
            "business": self._business(name) or None,
            "warnings": [line for line in warnings if line.startswith(labels) and line not in claims],
        }

    def _business(self, name: str) -> str:
        """Return whose calls under a profile are; "": nobody's in particular."""
        rules, kept = self._configs.rules, self._present(name)
        found: str = rules.settings.business
        if kept is not None:
            found = kept.values.get("business", found)
        elif name in rules.profiles.in_file:
            found = rules.profiles.all()[name].business
        return found

    def _present(self, name: str) -> KeptProfile | None:
        return next((one for one in self._configs.rules.kept if one.name == name), None)

    async def describe(self, name: str, warnings: Sequence[str] = (), business: str = "") -> dict[str, Any]:
        """Return what `listed` tells of a profile, `session` (as in the Realtime API), `settings` (value and origin, by
        name) and `kept` (what the database has). `warnings`: of the change just made. Raises ProfileRefused."""
        return await asyncio.to_thread(self._described, name, warnings, business)

    def _described(self, name: str, warnings: Sequence[str], business: str) -> dict[str, Any]:
        rules = self._configs.rules
        kept = self._present(name)
        if (kept is None and name not in rules.profiles.in_file) or not self._is_of(name, business):
            raise ProfileRefused(*self._not_there(name))
        settings = rules.profiles.all().get(name, rules.settings)
        holds = name in rules.profiles.kept
        own = kept.values if holds and kept is not None else rules.profiles.in_file.get(name, {})
        origin = f"profile {name}, kept in the database" if holds else f"settings.toml, profile {name}"
        head = self._head(name, self.warnings, business)
        return {
            **head,
            "session": self._shown(session_names.session(settings)),
            "settings": {
                key: {
                    "value": self._shown(getattr(settings, key)),
                    "origin": origin if key in own else rules.settings.origin(key),
                }
                for key in CallSettings.model_fields
            },
            "kept": {key: self._shown(value) for key, value in kept.values.items()} if kept is not None else {},
            "warnings": list(dict.fromkeys([*warnings, *head["warnings"]])),
        }

    async def versions(self, name: str, business: str = "") -> dict[str, Any]:
        """Return the versions of a profile, the newest first: `version`, `changed`, `by`, `gone`, and `changes`, the
        names that differ from the version before. Raises ProfileRefused or the driver's exceptions."""
        rows = await self._store.versions(name)
        if (not rows and name not in self._configs.rules.profiles.in_file) or not self._is_of(name, business):
            raise ProfileRefused(*self._not_there(name))
        found = await asyncio.to_thread(compared, rows)
        own = [one for one, row in zip(found, rows, strict=True) if self._is_version_of(row, business)]
        return {"name": name, "versions": own}

    async def version(self, name: str, version: int, business: str = "") -> dict[str, Any]:
        """Return one version: its entry without `changes`, and its `numbers` and `settings`. Raises ProfileRefused or
        the driver's exceptions."""
        row = await self._store.version(name, version)
        if row is None or not self._is_version_of(row, business) or not self._is_of(name, business):
            raise ProfileRefused(404, _NO_VERSION)
        whole = present(await asyncio.to_thread(json.loads, row["settings"] or "{}"))
        return {
            "name": name, **entry(row), NUMBERS: whole.pop(NUMBERS, []), "settings": self._shown(whole),
        }  # fmt: skip

    @property
    def warnings(self) -> list[str]:
        """A line for each profile with something to know about, of those that are told by name."""
        return list(dict.fromkeys([*self._configs.rules.profiles.warnings, *self._told()]))

    def _shown(self, value: Any) -> Any:
        return display.without_secrets(value, self._secrets)


def _changed(name: str, present: KeptProfile | None, asked: Asked, business: str) -> KeptProfile:
    """Return the profile after a change. `present`: what the change begins with; None: with nothing. `business`: whose
    it is all the same; "": whose it says."""
    before = present.values if present is not None else {}
    values = {key: value for key, value in before.items() if key not in asked.gone} | asked.values
    numbers = asked.numbers if asked.numbers is not None else present.numbers if present is not None else ()
    return KeptProfile(name, numbers, {**values, "business": business} if business else values)


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(display.key(name)[1:-1] for name in names[:_MOST_NAMED]) + more
