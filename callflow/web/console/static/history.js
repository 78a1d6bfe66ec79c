// The calls of before: words, numbers and days to look for stand in the address.
import { ask, get } from "./api.js";
import { Element, announce, callAddress, html, nothing, repeat } from "./base.js";
import { deletions } from "./deleted.js";
import { at, duration, fully, partiesOf } from "./format.js";
import { FIELDS, addressOf, query } from "./history_query.js";
import { named } from "./named.js";
import { T } from "./texts.js";
import "./figures.js";
import "./views.js";

const PAGE = 50;
const DAYS = ["1", "7", "30", "90"];
const RESULTS = ["success", "caller", "carrier", "engine", "ours"];

class History extends Element {
  static properties = { choices: { state: true }, period: { state: true }, filters: { attribute: false }, me: { attribute: false }, rows: { state: true }, failed: { state: true }, note: { state: true }, next: { state: true } };
  #asking = null;
  #restored = () => this.#load();

  connectedCallback() { super.connectedCallback(); deletions.addEventListener("restored", this.#restored); document.title = `${T.history} · ${T.name}`; this.#choose(); }

  /** What can be chosen: without it, the filters are there all the same. */
  async #choose() {
    try {
      const limits = await get("/api/limits");
      this.choices = { carriers: limits.carriers.map((each) => each.name), profiles: limits.profiles.map((each) => each.profile).filter(Boolean) };
    } catch { this.choices = { carriers: [], profiles: [] }; }
  }

  disconnectedCallback() { super.disconnectedCallback(); deletions.removeEventListener("restored", this.#restored); this.#asking?.abort(); }

  willUpdate(changed) {
    if (changed.has("filters") && String(changed.get("filters")) !== String(this.filters)) {
      this.period = this.filters.get("days") || (this.filters.get("from") || this.filters.get("to") ? "between" : "");
      this.#load();
    }
  }

  /** Put what the address says into the form: what somebody has chosen there is not the template's. */
  updated(changed) {
    const form = this.querySelector("form[role=search]");
    if (!form || !(changed.has("filters") || changed.has("choices"))) return;
    for (const each of form.elements) {
      if (each.tagName !== "SELECT" && !changed.has("filters")) continue;
      if (each.name) each.value = each.name === "days" ? this.period : (this.filters.get(each.name) ?? "");
    }
  }

  async #load() {
    this.#asking?.abort();
    const asking = (this.#asking = new AbortController());
    this.failed = this.note = "";
    this.loading = true;
    try {
      const asked = query(this.filters);
      if (this.filters.get("before")) asked.set("before", this.filters.get("before"));
      asked.set("limit", PAGE);
      asked.set("columns", "all");
      const response = await ask(`/api/conversations?${asked}`, { signal: asking.signal });
      const rows = await response.json();
      this.next = /[?&]before=(\d+)/.exec(response.headers.get("Link") ?? "")?.[1] ?? "";
      this.note = /"(.*)"/.exec(response.headers.get("Warning") ?? "")?.[1] ?? "";
      this.rows = rows;
    } catch (error) {
      if (error.name === "AbortError") return;
      this.failed = named(error, T.historyFilters).message;
      this.rows = this.rows ?? [];
    } finally {
      if (this.#asking === asking) { this.loading = false; this.requestUpdate(); }
    }
  }

  #go(changes) {
    const filters = new URLSearchParams(this.filters);
    filters.delete("before");
    for (const [name, value] of Object.entries(changes)) if (value) filters.set(name, value); else filters.delete(name);
    location.hash = addressOf(filters);
  }

  /** Whether to offer it; the server decides. */
  get #mayDelete() { return this.me?.role === "configure" && !this.me.business; }

  async #delete(row) {
    const name = `${at(row.started_at)}, ${row.caller_number || T.unknown}`;
    const buttons = [...this.querySelectorAll("#rows button")];
    const place = buttons.findIndex((each) => each.dataset.call === row.stream_sid);
    this.failed = "";
    try {
      await deletions.remove(row.stream_sid, name);
      this.rows = this.rows.filter((each) => each.id !== row.id);
      await this.updateComplete;
      const left = [...this.querySelectorAll("#rows button")];
      (left[Math.min(place, left.length - 1)] ?? document.querySelector("cf-deleted button"))?.focus();
    } catch (error) {
      this.failed = error.message;
      announce(error.message);
    }
  }

  #submit = (event) => {
    event.preventDefault();
    const { elements } = event.target;
    const given = Object.fromEntries(FIELDS.map((name) => [name, elements[name]?.value.trim() ?? ""]));
    if (given.days === "between") given.days = "";
    else given.from = given.to = "";
    this.#go(given);
  };

  render() {
    const f = (name) => this.filters.get(name) ?? "";
    const L = T.historyFilters;
    const choice = (name, options, value = f(name), changed = null) => html`<label><span>${L[name]}</span><select name=${name} id=${`filter-${name}`} @change=${(event) => changed?.(event.target.value)}>
      <option value="" ?selected=${!value}>${L.all}</option>${options.map(([key, text]) => html`<option value=${key} ?selected=${value === key}>${text}</option>`)}</select></label>`;
    const named = (names, name) => [...new Set([...(names ?? []), f(name)])].filter(Boolean).map((each) => [each, each]);
    const results = [...new Set([...RESULTS, f("result")])].filter(Boolean).map((each) => [each, T.figures.resultNames[each] ?? each]);
    const exported = (format) => html`<a class="button" href=${`/api/conversations/export?${new URLSearchParams([...query(this.filters), ["format", format]])}`} download>${T.historyExport(format.toUpperCase())}</a>`;
    const field = (name, type) => html`<label><span>${L[name]}</span><input name=${name} type=${type} .value=${f(name)} autocomplete="off" id=${`filter-${name}`}></label>`;
    return html`
      <section class="panel" aria-labelledby="history-title">
        <header class="panel-head"><h1 id="history-title">${T.history}</h1></header>
        <cf-views .filters=${this.filters} .me=${this.me}></cf-views>
        <form class="filters" role="search" @submit=${this.#submit}>
          ${field("text", "search")} ${this.me?.role === "view" ? nothing : field("number", "search")}
          ${choice("days", DAYS.map((each) => [each, L.lastDays(each)]).concat([["between", L.between]]), this.period, (value) => { this.period = value; })}
          ${this.period === "between" ? html`${field("from", "date")} ${field("to", "date")}` : nothing}
          ${choice("result", results)} ${choice("direction", [["inbound", L.inbound], ["outbound", L.outbound]])}
          ${choice("profile", named(this.choices?.profiles, "profile"))} ${choice("carrier", named(this.choices?.carriers, "carrier"))}
          ${choice("live", [["false", L.over], ["true", L.isLive]])}
          <span class="buttons"><button class="primary">${T.historySearch}</button>
          ${String(this.filters) ? html`<a class="button" href="#/history">${T.historyReset}</a>` : nothing}
          ${exported("csv")} ${exported("json")}</span>
        </form>
        <cf-figures .filters=${this.filters}></cf-figures>
        ${this.failed ? html`<p class="failed" role="alert">${this.failed} <button type="button" @click=${() => this.#load()}>${T.retry}</button></p>` : nothing}
        ${this.note ? html`<p class="dim">${this.note}</p>` : nothing}
        ${this.#table()}
        <nav class="pages buttons" aria-label=${T.history}>
          ${f("before") ? html`<button type="button" @click=${() => this.#go({})}>${T.historyNewest}</button>` : nothing}
          ${this.next ? html`<button type="button" @click=${() => this.#go({ before: this.next })}>${T.historyOlder}</button>` : nothing}
        </nav>
      </section>`;
  }

  #table() {
    if (!this.rows) return html`<p class="empty">${T.historyLoading}</p>`;
    if (!this.rows.length) {
      if (this.failed) return nothing;
      const isFiltered = Boolean(String(this.filters));
      return html`<div class="empty"><p>${isFiltered ? T.historyEmpty : T.historyNone}</p><p class="dim">${isFiltered ? T.historyEmptyNext : T.historyNoneNext}</p></div>`;
    }
    const C = T.historyColumns;
    return html`<div class="table" aria-busy=${Boolean(this.loading)}><table>
      <thead><tr>${Object.values(C).map((each) => html`<th scope="col">${each}</th>`)}${this.#mayDelete ? html`<th><span class="hidden">${T.delete}</span></th>` : nothing}</tr></thead>
      <tbody id="rows">${repeat(this.rows, (row) => row.id, (row) => html`<tr>
        <td data-name=${C.began}><a class="row-link" href=${callAddress(row.stream_sid)}><time title=${fully(row.started_at)}>${at(row.started_at)}</time></a>${row.recording ? html` <span class="recorded" role="img" aria-label=${T.sound.recorded} title=${T.sound.recorded}>●</span>` : nothing}</td>
        <td data-name=${C.caller} dir="ltr">${partiesOf(row)[0] || T.unknown}${row.direction === "outbound" ? html` <small class="dim">(${T.direction.outbound})</small>` : nothing}${row.carrier === "phone" ? html` <small class="dim">(${T.carrierNames.phone})</small>` : nothing}</td>
        <td data-name=${C.called} dir="ltr">${partiesOf(row)[1] || T.unknown}</td>
        <td data-name=${C.lasted}>${row.ended_at ? duration(row.duration_seconds) : html`<span class="chip" data-state="streaming"><i class="dot" aria-hidden="true"></i>${T.historyLive}</span>`}</td>
        <td data-name=${C.result} class="wide">${row.result ? html`<span title=${row.ended_because}>${T.figures.resultNames[row.result] ?? row.result}</span> <small class="dim">${row.hangup_cause}</small>` : T.unknown}</td>
        <td data-name=${C.profile} dir="auto">${row.profile || T.unknown}</td>
        <td data-name=${C.said}>${row.message_count ?? 0}</td>
        ${this.#mayDelete ? html`<td>${row.ended_at ? html`<button type="button" class="quiet" data-call=${row.stream_sid}
          aria-label=${T.deleteOf(at(row.started_at), row.caller_number || T.unknown)} @click=${() => this.#delete(row)}>${T.delete}</button>` : nothing}</td>` : nothing}</tr>`)}</tbody></table></div>`;
  }
}
customElements.define("cf-history", History);
