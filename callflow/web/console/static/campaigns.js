// Lists of calls: check one, start it, watch it, pause it, end it.
import { ask, get, post } from "./api.js";
import { callAddress, html, nothing } from "./base.js";
import { at, duration } from "./format.js";
import { FormPage, confirmed, dollars, may, newKey, trouble } from "./form_page.js";
import { T } from "./texts.js";

const C = T.campaigns;
const CALM = 2000; // ms between two looks at what is being worked through
const PAGE = 100;
const OPTIONS = ["name", "profile", "from", "hours", "weekdays", "attempts", "calls_per_second", "at_once", "start"];
const address = (campaign) => `#/campaigns/${encodeURIComponent(campaign.id)}`;
const isOver = (campaign) => ["cancelled", "finished"].includes(campaign.state);

/** Rows that need no call any more, of all. */
function share(campaign) {
  const by = campaign.by_state ?? {};
  const done = (by.done ?? 0) + (by.given_up ?? 0) + (by.skipped ?? 0) + (by.cancelled ?? 0);
  return [done, campaign.rows ?? 0];
}

function bar(campaign) {
  const [done, all] = share(campaign);
  return html`<span class="progress-cell"><progress max=${all || 1} .value=${done} aria-label=${C.progress}></progress> ${done} / ${all}</span>`;
}

const state = (campaign) => html`<span class="chip" data-state=${campaign.state}><i class="dot" aria-hidden="true"></i>${C.states[campaign.state] ?? campaign.state}</span>`;
const counts = (of, names) => Object.entries(of ?? {}).map(([name, count]) => html`<span class="chip">${names[name] ?? name}: <b>${count}</b></span> `);

class Campaigns extends FormPage {
  static properties = { ...FormPage.properties, checked: { state: true }, profiles: { state: true } };
  #csv = "";
  #started = "";
  #query = "";
  #key = newKey();
  #edits = 0;

  get heading() { return T.pages.campaigns; }

  get fields() { return { ...C.fields, record: T.dial.record }; }

  get isUnsaved() {
    const rows = this.querySelector("textarea[name=rows]")?.value ?? "";
    return rows.trim() !== "" && rows !== this.#started;
  }

  async load() {
    const found = await get("/api/campaigns?limit=50");
    [this.limits, this.budget] = await Promise.all([get("/api/limits").catch(() => null), get("/api/budget").catch(() => null)]);
    this.profiles ??= (await get("/api/profiles").catch(() => ({ profiles: [] }))).profiles;
    if (found.some((each) => each.state === "running" || each.state === "loading")) this.again(CALM);
    return found;
  }

  #options() {
    const { elements } = this.querySelector("form");
    const query = new URLSearchParams();
    for (const name of OPTIONS) if (elements[name].value.trim()) query.set(name, elements[name].value.trim());
    if (elements.record.checked) query.set("record", "true");
    return query;
  }

  #file = async (event) => {
    const [file] = event.target.files;
    if (!file) return;
    this.querySelector("form").elements.rows.value = await file.text();
    this.#edited();
  };

  /** What was checked is not what stands there any more, nor what is being checked. */
  #edited = () => {
    this.#edits += 1;
    this.checked = null;
  };

  #check = async (event) => {
    event.preventDefault();
    const query = this.#options();
    const edits = this.#edits;
    this.#csv = this.querySelector("form").elements.rows.value;
    this.#query = String(query);
    this.#key = newKey();
    const checked = await this.act(async () => (await ask(`/api/campaigns?${new URLSearchParams([...query, ["dry_run", "true"]])}`, { method: "POST", csv: this.#csv })).json());
    if (edits === this.#edits) this.checked = checked;
  };

  async #start() {
    const work = async () => (await ask(`/api/campaigns?${this.#query}`, { method: "POST", csv: this.#csv, more: { "Idempotency-Key": this.#key } })).json();
    const told = await this.act(work, C.started);
    if (told) { this.#started = this.#csv; location.hash = address(told); }
  }

  draw() {
    return html`
      <section class="panel" aria-labelledby="campaigns-title">
        <h1 id="campaigns-title">${this.heading}</h1>
        ${this.failed ? trouble(this.failed) : nothing}
        ${this.data.length ? html`<div class="table"><table>
          <thead><tr>${Object.values(C.columns).map((each) => html`<th scope="col">${each}</th>`)}</tr></thead>
          <tbody id="rows">${this.data.map((each) => html`<tr>
            <td data-name=${C.columns.name} dir="auto"><a class="row-link" href=${address(each)}>${each.name || C.unnamed}</a></td>
            <td data-name=${C.columns.state}>${state(each)}</td>
            <td data-name=${C.columns.progress}>${bar(each)}</td>
            <td data-name=${C.columns.outcomes} class="wide">${counts(each.by_outcome, C.outcomes)}</td>
            <td data-name=${C.columns.created}>${at(each.created)} <small class="dim">${each.by}</small></td></tr>`)}</tbody></table></div>`
          : html`<div class="empty"><p>${C.none}</p><p class="dim">${C.noneNext}</p></div>`}
      </section>
      ${may(this.me, "operate") ? this.#form() : html`<p class="dim">${T.actsViewer}</p>`}`;
  }

  #form() {
    const field = (name, hint = "") => html`<label><span>${C.fields[name]}</span><input name=${name} placeholder=${hint} autocomplete="off" dir="auto"></label>`;
    const { checked } = this;
    return html`<section class="panel" aria-labelledby="new-campaign">
      <h2 id="new-campaign">${C.make}</h2>
      <form class="sheet" @submit=${this.#check} @input=${this.#edited}>
        ${field("name")}
        <label><span>${C.fields.profile}</span><select name="profile"><option value="">${T.dial.ofNumber}</option>${this.profiles?.map((each) => html`<option>${each.name}</option>`)}</select></label>
        ${field("from", "+15550100002")} ${field("hours", "9-18")} ${field("weekdays", "mon-fri")} ${field("attempts", "3")} ${field("calls_per_second", "1")} ${field("at_once", "5")}
        <label><span>${C.fields.start}</span><select name="start"><option value="now">${C.now}</option><option value="paused">${C.paused}</option></select></label>
        <label class="flag"><input type="checkbox" name="record"><span>${T.dial.record}</span></label>
        <label class="whole"><span>${C.fields.rows}</span><textarea name="rows" rows="7" required spellcheck="false" dir="ltr" placeholder=${C.example}></textarea></label>
        <label class="whole"><span>${C.fields.file}</span><input type="file" accept=".csv,.tsv,.txt,text/csv" @change=${this.#file}></label>
        <p class="buttons"><button class=${checked ? "" : "primary"} ?disabled=${this.busy}>${C.check}</button>
          ${checked ? html`<button type="button" class="primary" ?disabled=${this.busy || !checked.called} @click=${() => this.#start()}>${C.startOf(checked.called)}</button>` : nothing}</p>
      </form>
      ${this.outcome()}
      ${checked ? this.#dry(checked) : nothing}</section>`;
  }

  /** What it may cost at most, and what keeps it within bounds. */
  #rails({ call, called, attempts, at_once, calls_per_second, hours, weekdays }) {
    const D = T.dial;
    const { minute, seconds, ringing } = call;
    const { limits, budget } = this;
    const most = minute === null ? "" : dollars((minute * (seconds + ringing * attempts) / 60) * called);
    const rows = [
      [D.price, minute === null ? D.priceUnknown : D.priceOf(dollars(minute))],
      [D.longest, D.longestOf(duration(seconds), minute === null ? "" : dollars(minute * (seconds + ringing) / 60))],
      [C.together, minute === null ? D.priceUnknown : C.togetherOf(called, most)],
      [C.fields.attempts, C.attemptsOf(attempts)], [C.fields.at_once, C.atOnceOf(at_once, limits ? Math.max(1, Math.floor(limits.calls.most * limits.campaignShare)) : 0)],
      [C.fields.calls_per_second, calls_per_second], [C.fields.hours, `${hours}, ${weekdays}`],
      ...(limits ? [[D.pace, D.paceOf(limits.dialsPerMinute)]] : []),
      ...(budget ? [[D.today, D.todayOf(dollars(budget.all.usd), budget.all.minutes, limits?.day ?? {})]] : []),
      [D.from, call.from], [D.carrier, call.carrier], [T.factNames.profile, call.profile || D.noProfile], [D.model, call.model],
    ];
    return html`<dl class="facts">${rows.map(([name, value]) => html`<dt>${name}</dt><dd dir="auto">${value}</dd>`)}</dl>`;
  }

  #dry(checked) {
    return html`<div class="checked" role="status"><p>${C.checkedAs(checked.called, checked.rows)}</p>
      ${checked.call ? this.#rails(checked) : nothing}
      ${checked.warnings?.length ? html`<ul class="lines warnings">${checked.warnings.map((each) => html`<li class="warning" dir="auto">${each}</li>`)}</ul>` : nothing}
      ${checked.skipped.rows ? html`<h3>${C.skipped(checked.skipped.rows)}</h3>
        <ul class="lines">${checked.skipped.first.map((each) => html`<li>${C.line(each.line)} <span dir="ltr">${each.number ?? ""}</span> <span class="dim" dir="auto">${each.reason}</span></li>`)}</ul>` : nothing}</div>`;
  }
}
customElements.define("cf-campaigns", Campaigns);

class Campaign extends FormPage {
  static properties = { ...FormPage.properties, campaign: {}, after: { state: true }, only: { state: true } };

  constructor() { super(); this.after = [0]; this.only = ""; }

  get heading() { return this.data?.told.name || T.pages.campaigns; }

  async load() {
    const base = `/api/campaigns/${encodeURIComponent(this.campaign)}`;
    const query = new URLSearchParams({ limit: PAGE, after: this.after.at(-1), ...(this.only ? { state: this.only } : {}) });
    const [told, rows] = await Promise.all([get(base), ask(`${base}/rows?${query}`)]);
    if (!isOver(told)) this.again(CALM);
    return { told, rows: await rows.json(), hasMore: Boolean(rows.headers.get("Link")) };
  }

  async #way(way, done) {
    if (way === "cancel" && !await confirmed(C.cancelTitle, [C.cancelWords], [["yes", C.ways.cancel, "danger"]])) return;
    await this.act(() => post(`/api/campaigns/${encodeURIComponent(this.campaign)}/${way}`), done);
    this.reload();
  }

  #page(after, only = this.only) { this.after = after; this.only = only; this.reload(); }

  draw() {
    const { told, rows, hasMore } = this.data;
    const R = C.rowColumns;
    const button = (way, kind = "") => html`<button type="button" class=${kind} ?disabled=${this.busy} @click=${() => this.#way(way, C.done[way])}>${C.ways[way]}</button>`;
    const facts = [
      [T.factNames.profile, told.profile || T.dial.noProfile], [T.factNames.carrier, told.carrier], [C.fields.hours, `${told.hours}, ${told.weekdays}`],
      [C.fields.attempts, told.attempts], [C.fields.calls_per_second, told.calls_per_second], [C.fields.at_once, told.at_once],
      [C.columns.created, `${at(told.created)} · ${told.by}`], ...(told.next ? [[C.next, at(told.next)]] : []), ...(told.finished ? [[C.finished, at(told.finished)]] : []),
    ];
    return html`
      <section class="panel" aria-labelledby="campaign-title">
        <header class="panel-head"><h1 id="campaign-title" dir="auto">${told.name || C.unnamed}</h1><a href="#/campaigns">${C.all}</a></header>
        <p class="buttons">${state(told)} ${bar(told)}
          ${isOver(told) || !may(this.me, "operate") ? nothing : html`${told.state === "paused" ? button("resume", "primary") : button("pause")} ${button("cancel", "danger")}`}</p>
        ${told.error ? html`<p class="failed">${told.error}</p>` : nothing}
        ${this.failed ? trouble(this.failed) : nothing}${this.outcome()}
        <p>${counts(told.by_outcome, C.outcomes)}</p>
        <dl class="facts">${facts.map(([name, value]) => html`<dt>${name}</dt><dd>${value}</dd>`)}</dl>
      </section>
      <section class="panel" aria-labelledby="campaign-rows">
        <header class="panel-head"><h2 id="campaign-rows">${C.rows}</h2>
          <label>${C.which} <select @change=${(event) => this.#page([0], event.target.value)}><option value="">${T.historyFilters.all}</option>
            ${Object.entries(told.by_state ?? {}).map(([name, count]) => html`<option value=${name} ?selected=${name === this.only}>${C.rowStates[name] ?? name} (${count})</option>`)}</select></label></header>
        <div class="table"><table><thead><tr>${Object.values(R).map((each) => html`<th scope="col">${each}</th>`)}</tr></thead>
        <tbody>${rows.map((each) => html`<tr>
          <td data-name=${R.number} dir="ltr">${each.number ?? C.line(each.line)}</td>
          <td data-name=${R.state}>${C.rowStates[each.state] ?? each.state}</td>
          <td data-name=${R.outcome} class="wide" dir="auto">${[C.outcomes[each.outcome] ?? each.outcome, each.reason].filter(Boolean).join(": ") || T.unknown}</td>
          <td data-name=${R.calls}>${each.calls}</td>
          <td data-name=${R.next}>${each.next ? at(each.next) : T.unknown}</td>
          <td data-name=${R.call}>${each.call ? html`<a href=${callAddress(each.call)}>${T.open}</a>` : nothing}</td></tr>`)}</tbody></table></div>
        <nav class="pages buttons" aria-label=${C.rows}>
          ${this.after.length > 1 ? html`<button type="button" @click=${() => this.#page(this.after.slice(0, -1))}>${C.before}</button>` : nothing}
          ${hasMore ? html`<button type="button" @click=${() => this.#page([...this.after, rows.at(-1).row])}>${C.after}</button>` : nothing}</nav>
      </section>`;
  }
}
customElements.define("cf-campaign", Campaign);
