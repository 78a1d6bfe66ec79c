"""Accounts that requests for single calls have brought (ALLOW_CLIENT_CREDS), for development only.

They are kept in memory alone, and no more than a few: commands for such a call go to its account, and a webhook that
names one of these accounts may be signed with that account's token.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from cachetools import LRUCache

from callflow.contracts.carrier import CarrierAccount, Request
from callflow.contracts.errors import CarrierError, Forged
from carriers.common.http_client import Api
from carriers.twilio.signature import Verifier


_MOST_ACCOUNTS: Final = 20
_MOST_CALLS: Final = 1000


class Accounts:
    """Which account a call belongs to. `own`: the API of the settings' account. `make_api`: makes that of another."""

    def __init__(self, own: Api, make_api: Callable[[CarrierAccount], Api]) -> None:
        self._own, self._make_api = own, make_api
        self._others: dict[CarrierAccount, Api] = {}
        self._asked: LRUCache[str, CarrierAccount] = LRUCache(_MOST_CALLS)
        """By our ids of calls that are to be dialled."""
        self._dialled: LRUCache[str, CarrierAccount] = LRUCache(_MOST_CALLS)
        """By the SIDs of calls."""

    def use(self, call: str, account: CarrierAccount) -> None:
        """Dial our call with that account. Raises CarrierError if there are too many accounts."""
        if account not in self._others:
            if len(self._others) >= _MOST_ACCOUNTS:
                raise CarrierError(f"requests have brought {_MOST_ACCOUNTS} accounts already: start the server anew")
            self._others[account] = self._make_api(account)
        self._asked[call] = account

    def to_dial(self, call: str) -> Api:
        """Return the API that dials our call."""
        return self._api(self._asked.get(call))

    def dialled(self, call: str, sid: str) -> None:
        """Note the SID of a call that was dialled."""
        if call in self._asked:
            self._dialled[sid] = self._asked[call]

    def of(self, sid: str) -> Api:
        """Return the API of a call."""
        return self._api(self._dialled.get(sid))

    def has(self, sid: str) -> bool:
        """Return whether a request has brought the account with this SID."""
        return any(account.sid == sid for account in self._others)

    def has_signed(self, request: Request, *, slash: bool = False) -> bool:
        """Return whether a request is signed by one of the accounts that were brought."""
        tokens = [each.token for each in self._others]
        if not tokens:
            return False
        try:
            Verifier(tokens).check(request, slash=slash)
        except Forged:
            return False
        return True

    async def close(self) -> None:
        """Close all connections but those of the settings' account."""
        for api in self._others.values():
            await api.close()

    def _api(self, account: CarrierAccount | None) -> Api:
        return self._own if account is None else self._others[account]
