"""The composition root: settings become carriers, engine, history, switchboard and two web apps.

`serve`, `create_app`, `doctor`, the demo, the bench and the tests build the same `Application`.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from quart import Quart

from callflow import runtime
from callflow.call.services import CallServices, alone
from callflow.cluster.membership import Membership
from callflow.cluster.peers import NodeConfig
from callflow.cluster.tool_runs import may_run
from callflow.config import client_keys, control_changes, display, paths, session_limits, session_overrides
from callflow.config.dial_rules import DialRules
from callflow.config.settings import Settings
from callflow.contracts.carrier import Carrier
from callflow.contracts.errors import DatabaseError, SessionRefused, ToolsError, TunnelError
from callflow.contracts.tunnel import Tunnel
from callflow.engines.common.account import Account
from callflow.history.control_settings import StoredControl
from callflow.history.delivery.setup import make_sender
from callflow.history.journal_writer import DurableJournal
from callflow.history.kept_profiles import ProfileStore
from callflow.history.make import make_history
from callflow.history.own_tools import OwnToolStore
from callflow.history.pointed_numbers import PointedNumbers
from callflow.history.recent_problems import lately
from callflow.history.session_overrides import StoredOverrides
from callflow.journal.live_feed import LiveFeed
from callflow.journal.redaction import is_private
from callflow.switchboard.budget.carrier_costs import CostLookups
from callflow.switchboard.budget.make import make_budget
from callflow.switchboard.call_configs import CallConfigs
from callflow.switchboard.caller_limits import CallerLimits
from callflow.switchboard.caller_lookup import make_lookup
from callflow.switchboard.campaigns.campaigns import Campaigns
from callflow.switchboard.campaigns.runner import CampaignRunner
from callflow.switchboard.control.follow import make_follower
from callflow.switchboard.data_folder import share, stream_tokens
from callflow.switchboard.dial_permission import DialPermission
from callflow.switchboard.dialer import Dialer
from callflow.switchboard.engine_choice import realtime_config
from callflow.switchboard.health.make import make_health
from callflow.switchboard.keep_running import Part
from callflow.switchboard.lag_admission import LagAdmission
from callflow.switchboard.moving import Moving
from callflow.switchboard.number_service import NumberService
from callflow.switchboard.opt_outs import OptOuts
from callflow.switchboard.profile_service import ProfileService
from callflow.switchboard.recovery import Recovery
from callflow.switchboard.redactors import redactor
from callflow.switchboard.session_overrides import NOT_KNOWN, SessionOverrides
from callflow.switchboard.setting_service import SettingService
from callflow.switchboard.setting_warnings import setting_warnings
from callflow.switchboard.shielded_changes import ShieldedChanges
from callflow.switchboard.switchboard import Switchboard
from callflow.switchboard.tool_service import ToolService
from callflow.telemetry.telemetry import Telemetry
from callflow.tools.builtin import CallToolset
from callflow.tools.interpreter_watch import InterpreterWatch
from callflow.tools.loader import ToolLoader
from callflow.tools.process import ToolProcess
from callflow.tools.runner import default_runner
from callflow.web.cluster_web import ClusterWeb
from callflow.web.console.live.service import LiveService
from callflow.web.console.phone import PhoneLine
from callflow.web.console.session_apis import make_session_apis
from callflow.web.console.try_tool import run_for_no_call
from callflow.web.listeners import Inherited, Listeners
from callflow.web.public.address import PublicAddress
from callflow.web.public.app import create_public
from callflow.web.public.routing import WebhookRouting
from carriers.registry import closed_paths, make_carriers


log = logging.getLogger("callflow")

CANNOT_START: Final = (ToolsError, TunnelError, DatabaseError)
"""Errors that prevent a start, beside SettingsError and OSError; their text says what to do."""
_OPEN_SECONDS: Final = 1.5
"""How long the start waits for the history; calls are answered meanwhile."""


class Application:
    """Everything that serves calls. `async with Application(settings) as application: …` serves them on two ports.

    Under another ASGI server, call `open` and `close` instead, and serve `public` (and `console`).
    """

    def __init__(
        self,
        settings: Settings,
        tunnel: Tunnel | None = None,
        node: NodeConfig | None = None,
        inherited: Inherited | None = None,
    ) -> None:
        """Read the tools and the profiles. `node`: this process is one of a cluster. `inherited`: sockets that are
        bound already. Raises SettingsError or ToolsError."""
        self.settings, self._node, self._name = settings, node, node.name if node is not None else ""
        self.cluster: Membership | None = None
        self.moving: Moving | None = None
        self._cluster_web: ClusterWeb | None = None
        """All three once it is open, and unless this process serves alone."""
        self._tunnel = tunnel
        file, hook = paths.tools_file(settings), settings.lookup_function
        self._tool_process = ToolProcess(file, hook) if settings.tool_process else None
        self.tools = ToolLoader(file, self._tool_process, hook)
        self.tool_service = ToolService(self.tools.current)
        # One for all calls: profiles have neither key nor address of their own.
        self.account = Account(settings.engine_spare)
        self.configs = CallConfigs(settings, self.account)
        self._of_settings = partial(setting_warnings, self.configs, self.tool_service)
        self.redactor = redactor(settings)
        self._secrets = display.secrets_of(settings)
        self.live = LiveFeed()
        self.telemetry = Telemetry(capacity=settings.max_concurrent_calls)
        here = f"http://{settings.host}:{settings.port}"
        self.address = PublicAddress(settings.public_base_url, here, node=self._name)
        self.carriers = make_carriers(settings, self.address)
        self._dial_rules = DialRules.of(settings)
        self._shielded = ShieldedChanges()
        self.apis = make_session_apis(settings, lambda: self.effective)
        self.public_at = self.console_at = self.own_console_at = ("off", 0)
        """Host and port as bound. `own`: where no other worker of this machine answers."""
        self.phone: PhoneLine | None = None
        """On which the operators' page can ring; None: it has no telephone."""
        self._listeners = Listeners(
            inherited, node=self._name, ping_seconds=settings.media_ping_seconds, media_server=settings.media_server,
        )  # fmt: skip
        self._start_warnings, self._of_history = list[str](), list[str]()
        self._trouble: Callable[[], str] = str
        if settings.otel_exporter_otlp_endpoint:
            headers = settings.otel_exporter_otlp_headers.get_secret_value()
            self._start_warnings += self.telemetry.trace_to(
                settings.otel_exporter_otlp_endpoint, headers, settings.otel_service_name, is_private=is_private
            )

    @property
    def warnings(self) -> list[str]:
        """Settings that have no effect, and whatever else needs attention; a line each."""
        told = [*self._start_warnings, *self._of_settings(), *self._of_history, self._trouble()]
        return list(dict.fromkeys(filter(None, told)))

    @property
    def tool_definitions(self) -> Sequence[Mapping[str, Any]]:
        """The definitions of all tools: see `ToolService.definitions`."""
        return self.tool_service.definitions

    @property
    def effective(self) -> Settings:
        """The settings of new calls to numbers without a profile."""
        return self.configs.rules.settings

    @property
    def journal(self) -> DurableJournal:
        """The journal of all calls. Only once it is open."""
        return self.history.journal

    def _services(self, switchboard: Switchboard) -> CallServices:
        opt_outs = OptOuts(self.history)
        return CallServices(
            journal=self.journal,
            live=self.live,
            config=self.configs.config,
            make_toolbox=lambda caller, acts: CallToolset(
                self.tool_service.current(), caller, opt_outs.beside(acts, caller)
            ),
            stream_tokens=self._tokens,
            journal_seconds=self.settings.journal_seconds,
            address=self.address,
            now=time.time,
            leg_known=switchboard.leg_known,
            run_after_call=switchboard.run_after_call,
            number=self.configs.number,
            redact=self.redactor,
            recordings=self.history.recordings,
            admit_profile=switchboard.admission.admit_profile,
            caller_lookup=self._lookup,
            control=self._control.asker,
            may_act=self.cluster.may_act if self.cluster is not None else alone,
            may_run=partial(may_run, self.cluster, self.journal) if self.cluster is not None else alone,
        )

    def public(self) -> Quart:
        """Make the app for carriers: webhooks, media sockets, health checks."""
        board, hold, closed = lambda: self.switchboard, lambda: self.recovery, closed_paths(self.settings)
        return create_public(self.carriers, board, self.address, hold, self.apis.control, closed, self._routing)

    def _routing(self) -> WebhookRouting | None:
        return self._cluster_web.routing if self._cluster_web is not None else None

    def console(self) -> Quart:
        """Make the app for operators: console and API. Call `open` first."""
        from callflow.web.console.app import create_console

        return create_console(
            lambda: self.switchboard,
            self.history,
            self.overrides,
            self._shielded,
            host=self.settings.console_host,
            redact=self.redactor,
            token=self.settings.console_token.get_secret_value(),
            tools=lambda: self.tool_definitions,
            checked=lambda changes: control_changes.of_session(changes, self._secrets),
            engine=self.account.describe,
            telemetry=self.telemetry,
            dialer=lambda: self.dialer,
            for_call=self._for_call,
            sender=self.sender,
            carriers=self._by_name(),
            number_service=lambda: self.number_service,
            address=self.address.reached_at,
            campaigns=lambda: self.campaigns,
            spending=self._budget_told,
            client_keys=client_keys.in_force(self.settings),
            profiles=self.profiles,
            named_tokens=self.settings.console_tokens.get_secret_value(),
            login_secrets=lambda: self._tokens.secrets_for("logins of operators"),
            business_of=lambda number: self.configs.business_of(number)[0],
            tool_service=self.tool_service,
            try_tool=run_for_no_call(self.tools.current, lambda: self.effective.tool_timeout_seconds),
            setting_service=SettingService(self.configs, self._by_name(), max_calls=self.settings.max_concurrent_calls),
            live=self.live_service,
            health=self.health,
            doctor=self.doctor,
            cluster=self.cluster,
            forwarding=self._cluster_web.forwarding if self._cluster_web is not None else None,
            phone=lambda: self.phone,
            phone_costs=self.settings.engine_costs,
            apis=self.apis,
        )

    async def _budget_told(self) -> dict[str, Any]:
        return await self.budget.describe(self.configs.rules.configs)

    def _for_call(self, session: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
        """Read a session for one call: settings by name, and a line for what is left out. Raises SessionRefused."""
        asked = session_overrides.wanted_of_call(session, self.effective, self.configs.rules.overrides)
        if problems := session_limits.of_profile(asked.values):
            raise SessionRefused([f"{problem}." for problem in problems])
        return asked.values, asked.warnings

    def orphaned(self, leave: Callable[[], None]) -> None:
        """Learn that the main process of the workers has died. `leave`: ends this one, after its calls; it is called
        when the next main process has asked for the listening sockets, and has workers that take calls."""
        web, moving = self._cluster_web, self.moving
        if web is not None and moving is not None:
            web.give_listeners(self._listeners.bound, lambda: moving.leave_later(leave))

    # Its life

    def open(self) -> None:
        """Take calls from now on; a loop must be running. Returns at once, while the history is still being opened.

        Raises SettingsError or DatabaseError.
        """
        settings = self.settings
        self.history = make_history(settings, self.redactor.data)
        self._trouble = lambda: self.history.sounds.trouble
        self.sender, self._tokens = make_sender(settings, self.history), stream_tokens(settings)
        self._load = LagAdmission(settings.admission_lag_ms, settings.admission_min_calls)
        if self._node is not None:
            self.cluster = Membership(
                self._node, self.history, calls=lambda: self.switchboard.count, lag=lambda: self._load.p99_ms
            )
            self._cluster_web = ClusterWeb(
                self._node, self.cluster, self.history, lambda: self.switchboard, self._by_name()
            )
        self.recovery = Recovery(self.history, reconcile_seconds=settings.reconcile_seconds, membership=self.cluster)
        self._lookup = make_lookup(settings, self.tools.current) if settings.caller_lookup else None
        self._control = make_follower(settings, self.apis.control, self._secrets, self.live, lambda: self.switchboard)
        self._interpreter_watch = InterpreterWatch(default_runner.at_work)
        self.switchboard = Switchboard(
            self._services,
            load=self._load,
            max_calls=settings.max_concurrent_calls,
            callers=CallerLimits(settings.max_calls_per_caller, settings.max_calls_per_caller_hour),
        )
        self.budget = make_budget(settings, self.history, lambda: self.switchboard.calls, node=self._name)
        self.switchboard.keep_to(self.budget)
        if self.cluster is not None:
            self.moving = Moving(self.cluster, self.switchboard, self.journal, self.recovery.keep)
        self.health, self.doctor = make_health(
            settings, self.switchboard, self.history, self.account, self.telemetry, self._budget_told, self.sender,
            self.carriers, lambda: self.number_service, lambda: self.configs.rules.profiles,
            lambda: (self.address.reached_at(), self.public_at[1], self.warnings, self._secrets), self.cluster,
            self._cluster_web.forwarding.apart if self._cluster_web is not None else None,
        )  # fmt: skip
        watched = (self.budget.run, self.health.run, *([self.moving.run] if self.moving is not None else ()))
        watches = (*watched, self.history.keep_recordings)
        self._watches = [asyncio.create_task(each(), name="watch") for each in watches]
        self.live_service = LiveService(
            lambda: self.switchboard, self.history, self.telemetry, self.redactor,
            costs=self.budget.live_costs, today=lambda: self.budget.calls_today,
            others=self._cluster_web.others if self._cluster_web is not None else None,
        )  # fmt: skip
        self.tool_service.keep_in(OwnToolStore(self.history.database))
        self.overrides = SessionOverrides(self.configs, StoredOverrides(self.history.database), self._of_settings)
        self.profiles = ProfileService(self.configs, ProfileStore(self.history.database), self._of_settings)
        self.recovery.begin(
            self.switchboard, self.carriers, self.address.relearn,
            load=self._load_kept, prepare=self.profiles.prepare, outbound=self.configs.restored,
            follow=partial(self.tool_service.follow, partial(self.profiles.follow, self._load_kept)),
            in_charge=self._work_in_charge,
        )  # fmt: skip
        self.dialer = Dialer(
            self.switchboard, self.history, self.configs, self._by_name(),
            may_dial=DialPermission(self._dial_rules, self.history).check, per_minute=settings.dials_per_minute,
        )  # fmt: skip
        self.number_service = NumberService(
            self.carriers, PointedNumbers(self.history.database), self.configs.number,
            shielded=self._shielded, may_release=settings.allow_number_release,
        )  # fmt: skip
        self._campaign_runner = CampaignRunner(
            self.history, self.switchboard, self.dialer.dial, self.cluster,
            most_calls=max(int(settings.max_concurrent_calls * settings.campaign_share), 1),
        )  # fmt: skip
        check, wake = self._dial_rules.check, self._campaign_runner.wake
        self.campaigns = Campaigns(self.history, self.dialer, self._shielded, check=check, wake=wake)
        self.account.start(realtime_config(self.effective))
        self.tools.watch()
        if self._tool_process is not None:
            self._tool_process.start()
        self.history.journal.on_entry = self.telemetry.take
        self.telemetry.start(self.switchboard.is_live, self._judge_load, self.history.journal.read)

    async def _load_kept(self) -> None:
        """Read what the database keeps of the settings. Raises the driver's exceptions."""
        await self.profiles.load()
        await self.overrides.load()
        await self.tool_service.load()
        await self.apis.control.load(StoredControl(self.history.database))
        await share(self._tokens, self.history.database)

    def _work_in_charge(self) -> dict[str, Part]:
        """Return the parts of what one process does for all that share the history."""
        costs = CostLookups(self.history, self._by_name())
        parts = {"campaigns": self._campaign_runner.run, "alerts": self.health.keep_alerts, "carrier costs": costs.run}
        return parts | ({"events": self.sender.run} if self.sender is not None else {})

    def _by_name(self) -> dict[str, Carrier]:
        return {carrier.name: carrier for carrier in self.carriers}

    def _judge_load(self, lag: float, used: float, now: float) -> None:
        self._interpreter_watch.sample(lag, used, now)
        if self._load.sample(lag, used, now):
            log.warning("%s", self._load.said())

    async def leave(self) -> None:
        """End the calls as the setting DRAIN says: with a goodbye, or by a handover to the next process, which needs a
        history that answers."""
        await self.account.spares.close()
        hands_over = self.settings.drain == "handover"
        if self.moving is not None:
            await self.moving.leave(self.settings.drain_seconds if hands_over else 0)
        end = self.switchboard.hand_over if hands_over and await self.history.answers() else self.switchboard.drain
        await end(self.settings.drain_seconds)

    async def close(self) -> None:
        """End every call that is left, and close everything."""
        self.tools.close()
        if self._tool_process is not None:
            self._tool_process.close()
        self.doctor.close()
        for watch in self._watches:
            watch.cancel()
        self.live_service.close()
        await self._control.close()
        await self.switchboard.stop()
        await self.telemetry.close()
        await self.account.close()
        if self._tunnel is not None:
            await self._tunnel.close()
        await self._listeners.close()
        if self._cluster_web is not None:
            await self._cluster_web.close()
        await self._shielded.close()
        for carrier in self.carriers:
            await carrier.close()
        if self._lookup is not None:
            await self._lookup.close()
        if self.sender is not None:
            await self.sender.finish(self.journal.flushed)
        await self.recovery.close()
        if self.sender is not None:
            await self.sender.close()
        await self.history.close()

    async def __aenter__(self) -> Application:
        listeners, settings = self._listeners, self.settings
        self._start_warnings += listeners.bind(self.settings)
        self.public_at = runtime.name_of(listeners.public)
        self.address.learn(f"http://{self.public_at[0]}:{self.public_at[1]}")
        self.open()
        app = self.public()
        carriers = await listeners.open_public(app, self._cluster_web.passing if self._cluster_web else None)
        if listeners.console is not None:
            self.console_at = self.own_console_at = runtime.name_of(listeners.console)
        operators = await listeners.open_console(self.console, late=self._node is None)
        if operators is not None and settings.console_phone:
            self.own_console_at = await listeners.open_own(operators)
        if self._cluster_web is not None:
            given, dialer = self.recovery.take_given, self.dialer
            await self._cluster_web.open(app, operators, carriers.adopt, given, self.live_service, dialer)
            await self._cluster_web.meet()
            carriers.accept()
        try:
            await self._open_tunnel()
        except BaseException:
            await self.close()
            raise
        await self.recovery.is_open(_OPEN_SECONDS)
        await self.history.sounds.looked(_OPEN_SECONDS)
        self._of_history = await self._told_by_history()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _open_tunnel(self) -> None:
        if self._tunnel is None:
            return
        if self.address.known:
            self._start_warnings.append("PUBLIC_BASE_URL is set, so no tunnel is opened.")
            self._tunnel = None
            return
        print(f"Opening a tunnel with {self._tunnel.name} …", file=sys.stderr)
        self.address.tunnel = await self._tunnel.open(self.public_at[1])

    async def _told_by_history(self) -> list[str]:
        """Return warnings from the history, a line each: about changed settings, and about problems of the last
        calls."""
        told = [*self.overrides.warnings, *self.overrides.overridden, *([] if self.overrides.is_known else [NOT_KNOWN])]
        if self.journal.trouble:
            name = "DATABASE_URL" if self.settings.database_url else "DATA_DIR"
            trouble = f"({self.journal.trouble}): calls go on without it. Look at {name}."
            return [*told, f"THE HISTORY CANNOT BE OPENED {trouble}"]
        return [*told, *(await lately(self.history.store) if self.history.is_readable else [])]
