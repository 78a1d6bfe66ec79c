"""The operators' listener, separate from the carriers': shows live and past calls, and changes them.

Without a token it listens on a loopback address only. Host and Origin are checked, so that no web page in an operator's
browser can read it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from quart import Quart, Response, request
from quart.wrappers.response import DataBody

from callflow.cluster.forwarding import Forwarding
from callflow.cluster.membership import Membership
from callflow.config import control_changes
from callflow.config.session_changes import Asked
from callflow.contracts.carrier import Carrier
from callflow.contracts.errors import BadQuery, WorkerFailed
from callflow.history.delivery.sender import Sender
from callflow.history.history import History
from callflow.history.store import Store
from callflow.journal.redaction import Redactor
from callflow.mcp.http import Answer, Headers, McpEndpoint
from callflow.switchboard.campaigns.campaigns import Campaigns
from callflow.switchboard.dialer import Dialer
from callflow.switchboard.health.doctor import Doctor
from callflow.switchboard.health.service import HealthService
from callflow.switchboard.number_service import NumberService
from callflow.switchboard.profile_service import ProfileService
from callflow.switchboard.session_overrides import SessionOverrides
from callflow.switchboard.setting_service import SettingService
from callflow.switchboard.shielded_changes import ShieldedChanges
from callflow.switchboard.switchboard import Switchboard
from callflow.switchboard.tool_service import ToolService
from callflow.telemetry.telemetry import Telemetry
from callflow.web.console import identity
from callflow.web.console.alerts import add_alerts
from callflow.web.console.auth import AccessMiddleware
from callflow.web.console.budget import Spending, add_budget
from callflow.web.console.business_scope import add_business_scope
from callflow.web.console.call_list import add_call_list
from callflow.web.console.call_recording import add_call_recording
from callflow.web.console.calls import add_calls
from callflow.web.console.campaigns import add_campaigns
from callflow.web.console.checks import add_checks
from callflow.web.console.client_secrets import add_client_secrets
from callflow.web.console.control import SETTINGS_PATH, add_control_settings
from callflow.web.console.deletion import add_deletion
from callflow.web.console.dial import Checked, add_dial
from callflow.web.console.do_not_call import add_do_not_call
from callflow.web.console.doctor import add_doctor
from callflow.web.console.dtmf import add_dtmf
from callflow.web.console.events import add_events
from callflow.web.console.history import add_history
from callflow.web.console.hold import add_hold
from callflow.web.console.images import add_images
from callflow.web.console.index_page import add_index
from callflow.web.console.large_answers.processes import LargeAnswers
from callflow.web.console.listen import add_listen
from callflow.web.console.live.logs import add_logs
from callflow.web.console.live.other_logs import OtherLogs
from callflow.web.console.live.routes import add_live
from callflow.web.console.live.service import LiveService
from callflow.web.console.login import add_login
from callflow.web.console.metrics import add_metrics
from callflow.web.console.mute import add_mute
from callflow.web.console.node_fan_out import NodeFanOut
from callflow.web.console.nodes import add_nodes
from callflow.web.console.numbers import add_numbers
from callflow.web.console.own_tools import add_own_tools
from callflow.web.console.owner_forwarding import OwnerForwarder
from callflow.web.console.phone import PhoneLine, add_phone
from callflow.web.console.phone_mount import PhoneMiddleware
from callflow.web.console.policy import PHONE_PATH, AccessPolicy
from callflow.web.console.profiles import add_profiles
from callflow.web.console.recordings import add_recordings
from callflow.web.console.replay import add_replay
from callflow.web.console.saved_views import add_saved_views
from callflow.web.console.say import add_say
from callflow.web.console.session import add_session
from callflow.web.console.session_apis import SessionApis
from callflow.web.console.settings import add_settings
from callflow.web.console.share import add_share
from callflow.web.console.static_files import add_static_files
from callflow.web.console.statistics import add_statistics
from callflow.web.console.step_in import add_step_in
from callflow.web.console.take_over import add_take_over
from callflow.web.console.transfer import add_transfer
from callflow.web.console.try_tool import TryTool, add_try_tool
from callflow.web.responses import install_error_handlers, json_response
from callflow.web.web_app import WebApp


def create_console(
    switchboard: Callable[[], Switchboard],
    history: History,
    overrides: SessionOverrides,
    shielded: ShieldedChanges,
    *,
    host: str,
    redact: Redactor,
    token: str = "",
    tools: Callable[[], Sequence[Mapping[str, Any]]] = tuple,
    checked: Callable[[Mapping[str, Any]], Asked] = control_changes.of_session,
    engine: Callable[[], Mapping[str, Any]] = dict,
    telemetry: Telemetry | None = None,
    dialer: Callable[[], Dialer] | None = None,
    for_call: Checked | None = None,
    sender: Sender | None = None,
    carriers: Mapping[str, Carrier] | None = None,
    number_service: Callable[[], NumberService] | None = None,
    address: Callable[[], str] = str,
    campaigns: Callable[[], Campaigns] | None = None,
    spending: Spending | None = None,
    client_keys: bool = False,
    profiles: ProfileService | None = None,
    named_tokens: str = "",
    login_secrets: Callable[[], Sequence[bytes]] | None = None,
    business_of: Callable[[str], str] = lambda number: "",
    setting_service: SettingService | None = None,
    try_tool: TryTool | None = None,
    tool_service: ToolService | None = None,
    live: LiveService | None = None,
    health: HealthService | None = None,
    doctor: Doctor | None = None,
    cluster: Membership | None = None,
    forwarding: Forwarding | None = None,
    phone: Callable[[], PhoneLine | None] = lambda: None,
    phone_costs: bool = False,
    apis: SessionApis | None = None,
) -> Quart:
    """Make the app.

    `shielded`: finishes what is changed here; whoever closes the history waits for it first.
    `host`: an allowed host name beside this machine's own. `redact`: redacts data that this listener writes into the
    history. `token`: CONSOLE_TOKEN. `tools`: returns the definitions of the agent's tools. `checked`: reads changes of
    a session, as `control_changes.of_session` does. `engine`: returns whether the engine accepts calls. `telemetry`:
    what `/metrics` tells; None: of no call. `dialer`: makes outbound calls; None: there are none. `for_call`: reads a
    session for one outbound call. `sender`: sends events to EVENTS_URL; None: that is not set. `number_service`:
    changes the numbers of the carriers' accounts; None: there are none. `address`: returns our public address; "": it
    is not known. `carriers`: by name; their recordings are loaded from them. `campaigns`: lists of calls; None: there
    are none. `spending`: returns what the calls of today took; None: that is not counted. `client_keys`: a request
    for a call may bring a key of its own. `profiles`: changes those of the database; None: there are none.
    `named_tokens`: CONSOLE_TOKENS. `login_secrets`: see `LoginSessions`; None: logins end with this process.
    `business_of`: returns whose a number of ours is; "": nobody's in particular. `setting_service`: explains settings
    and limits; None: nobody does. `try_tool`: runs a tool for no call; None: nobody may. `tool_service`: changes those
    that operators define; None: there are none. `live`: what is watched live; None: nothing is. `health`: looks at the
    server; None: only for those who ask. `doctor`: is asked from the page; None: it cannot be. `phone`: returns the
    line on which the page can ring this server; None: there is none. `phone_costs`: its calls cost money.
    `apis`: client secrets and the control endpoint; None: there are none. `cluster`, `forwarding`: the other
    nodes, and the way to them; None: this process serves alone.
    """
    app = WebApp("callflow-operators", static_folder=None)
    app.url_map.merge_slashes = False  # it answers `//` with a redirect
    app.config["MAX_CONTENT_LENGTH"] = None  # AccessMiddleware bounds bodies, and hands them over whole
    add_business_scope(app, switchboard, history, business_of)  # before everything that looks at a request
    install_error_handlers(app, history.database.trouble)

    @app.after_request
    async def head(response: Response) -> Response:
        """Empty the body of a response to HEAD, so that nothing is read for it."""
        if request.method == "HEAD":
            response.response = DataBody(b"")
        return response

    async def store() -> Store:
        if not history.is_readable:
            raise BadQuery("the history is not open yet: try again in a second")
        return history.store

    named, free = identity.named_tokens(named_tokens), () if phone_costs else (PHONE_PATH,)
    admin = {SETTINGS_PATH: apis.control.admin} if apis is not None else {}
    policy = AccessPolicy(host, token, named, secrets_now=login_secrets, free=free, own_tokens=admin)
    large = LargeAnswers(history.store)
    app.after_serving(large.close)

    async def mcp_apart(headers: Headers, body: bytes) -> Answer:
        if not switchboard().count or not history.is_readable:
            raise WorkerFailed("this process may answer: no call is live")
        return await large.mcp(headers, body)

    mcp = McpEndpoint(app.asgi_app, store, mcp_apart)
    fan_out: NodeFanOut | None = None
    inner: McpEndpoint | OwnerForwarder = mcp
    if cluster is not None and forwarding is not None:
        fan_out = NodeFanOut(cluster, forwarding)
        inner = OwnerForwarder(mcp, cluster, forwarding, switchboard, history)
    app.asgi_app = PhoneMiddleware(AccessMiddleware(inner, policy), phone)  # type: ignore[method-assign]
    app.after_serving(mcp.close)

    add_login(app, policy.sessions, fan_out)
    add_index(app, connects=apis.secrets.origin if apis is not None else "")
    add_static_files(app)
    add_call_list(app, switchboard, history, fan_out)
    add_calls(app, switchboard, history, large=large, has_token=bool(token), checked=checked)
    for add in (add_hold, add_mute, add_say, add_dtmf, add_step_in):
        add(app, switchboard, has_token=bool(token))
    add_images(app, switchboard, history, has_token=bool(token))
    add_listen(app, switchboard, has_token=bool(token))
    add_take_over(app, switchboard, has_token=bool(token))
    if dialer is not None and for_call is not None:
        add_dial(app, dialer, for_call, has_token=bool(token), client_keys=client_keys)
        if campaigns is not None:
            add_campaigns(app, campaigns, history, for_call, has_token=bool(token))
        add_transfer(app, switchboard, lambda *asked: dialer().may_dial(*asked), has_token=bool(token))
    if number_service is not None:
        add_numbers(app, number_service, history, address, business_of)
    add_call_recording(app, history, is_live=lambda call: switchboard().is_live(call))
    add_recordings(app, history, switchboard, carriers or {}, fan_out, has_token=bool(token))
    add_history(app, history, redact, large)
    add_replay(app, history)
    add_statistics(app, history)
    add_saved_views(app, history, has_token=bool(token))
    add_deletion(app, history, is_live=lambda call: switchboard().is_live(call), has_token=bool(token))
    add_do_not_call(app, history, redact, has_token=bool(token))
    add_session(app, history, overrides, shielded, has_token=bool(token))
    if try_tool is not None:
        add_try_tool(app, try_tool)
    if tool_service is not None:
        add_own_tools(app, history, tool_service, shielded, has_token=bool(token))
    if setting_service is not None:
        add_settings(app, setting_service, switchboard, fan_out)
    if spending is not None:
        add_budget(app, spending)
    if profiles is not None:
        add_profiles(app, history, profiles, shielded, has_token=bool(token))
    add_phone(app, phone, needs_token=phone_costs and not token)
    if apis is not None:
        add_client_secrets(app, apis.secrets)
        add_control_settings(app, apis.control, history, shielded, asks=apis.asks, has_token=bool(token))
    if live is not None:
        add_live(app, live, switchboard, history, fan_out)
        other_logs = OtherLogs(cluster, forwarding) if cluster is not None and forwarding is not None else None
        add_logs(app, live, switchboard, history, overrides, checked, other_logs, has_token=bool(token))
    add_events(app, history, sender)
    service = health or HealthService(switchboard, history, engine, sender=sender, spending=spending)
    add_checks(app, service)
    add_alerts(app, history, service, has_token=bool(token))
    add_nodes(app, cluster)
    if doctor is not None:
        add_doctor(app, doctor, has_token=bool(token))
    add_share(app, history, redact, has_token=bool(token))
    add_metrics(app, telemetry or Telemetry(), switchboard, history.journal, engine, sender, fan_out)

    @app.get("/health")
    async def figures() -> dict[str, Any]:
        """Answer whether the server accepts calls, how many are live, and its counts."""
        board, journal = switchboard(), history.journal
        writing: dict[str, Any] = {"ok": not journal.trouble, "waiting": journal.waiting, **journal.counts}
        if journal.trouble:
            writing["trouble"] = journal.trouble
        return {
            "ok": True,
            **({"node": cluster.me} if cluster is not None else {}),
            "accepting": board.is_accepting,
            "calls": len(board.calls),
            "loop": {"late_ms": round(board.load.p99_ms, 1), "refuses_calls": board.load.is_overloaded},
            "counts": dict(board.counts),
            "journal": writing,
            "engine": dict(engine()),
            **({"events": sender.describe()} if sender is not None else {}),
        }

    @app.get("/tools")
    async def list_tools() -> Response:
        """List the agent's tools, as the model gets them."""
        return json_response(list(tools()))

    return app
