// The calls of before: words, numbers and days to look for stand in the address.
import { ask } from "./api.js";
import { Element, announce, callAddress, html, nothing, repeat } from "./base.js";
import { deletions } from "./deleted.js";
import { at, duration, fully } from "./format.js";
import { T } from "./texts.js";

const PAGE = 50;
const FIELDS = ["text", "number", "from", "to", "live"];

/** The server's query for the filters of the address. Days are those of the viewer's zone. */
function query(filters) {
  const asked = new URLSearchParams();
  for (const name of ["text", "number", "live", "before"]) if (filters.get(name)) asked.set(name, filters.get(name));
  const day = (value, plus) => {
    const [y, m, d] = value.split("-").map(Number);
    return new Date(new Date(y, m - 1, d + plus).getTime() - plus).toISOString();
  };
  if (filters.get("from")) asked.set("from", day(filters.get("from"), 0));
  if (filters.get("to")) asked.set("to", day(filters.get("to"), 1));
  return asked;
}

class History extends Element {
  static properties = { filters: { attribute: false }, me: { attribute: false }, rows: { state: true }, failed: { state: true }, note: { state: true }, next: { state: true } };
  #asking = null;
  #restored = () => this.#load();

  connectedCallback() { super.connectedCallback(); deletions.addEventListener("restored", this.#restored); document.title = `${T.history} · ${T.name}`; }

  disconnectedCallback() { super.disconnectedCallback(); deletions.removeEventListener("restored", this.#restored); this.#asking?.abort(); }

  willUpdate(changed) {
    if (changed.has("filters") && String(changed.get("filters")) !== String(this.filters)) this.#load();
  }

  async #load() {
    this.#asking?.abort();
    const asking = (this.#asking = new AbortController());
    this.failed = this.note = "";
    this.loading = true;
    try {
      const asked = query(this.filters);
      asked.set("limit", PAGE);
      const response = await ask(`/api/conversations?${asked}`, { signal: asking.signal });
      const rows = await response.json();
      this.next = /[?&]before=(\d+)/.exec(response.headers.get("Link") ?? "")?.[1] ?? "";
      this.note = /"(.*)"/.exec(response.headers.get("Warning") ?? "")?.[1] ?? "";
      this.rows = rows;
    } catch (error) {
      if (error.name === "AbortError") return;
      this.failed = error.message;
      this.rows = this.rows ?? [];
    } finally {
      if (this.#asking === asking) { this.loading = false; this.requestUpdate(); }
    }
  }

  #go(changes) {
    const filters = new URLSearchParams(this.filters);
    filters.delete("before");
    for (const [name, value] of Object.entries(changes)) if (value) filters.set(name, value); else filters.delete(name);
    const text = String(filters);
    location.hash = text ? `#/history?${text}` : "#/history";
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
    this.#go(Object.fromEntries(FIELDS.map((name) => [name, elements[name].value.trim()])));
  };

  render() {
    const f = (name) => this.filters.get(name) ?? "";
    const L = T.historyFilters;
    const field = (name, type) => html`<label><span>${L[name]}</span><input name=${name} type=${type} .value=${f(name)} autocomplete="off" id=${`filter-${name}`}></label>`;
    return html`
      <section class="panel" aria-labelledby="history-title">
        <header class="panel-head"><h1 id="history-title">${T.history}</h1></header>
        <form class="filters" role="search" @submit=${this.#submit}>
          ${field("text", "search")} ${field("number", "search")} ${field("from", "date")} ${field("to", "date")}
          <label><span>${L.live}</span><select name="live" .value=${f("live")}>
            <option value="">${L.all}</option><option value="false" ?selected=${f("live") === "false"}>${L.over}</option><option value="true" ?selected=${f("live") === "true"}>${L.isLive}</option></select></label>
          <span class="buttons"><button class="primary">${T.historySearch}</button>
          ${String(this.filters) ? html`<a class="button" href="#/history">${T.historyReset}</a>` : nothing}
          <a class="button" href=${`/api/conversations/export?${new URLSearchParams([...query(this.filters), ["format", "csv"]].filter(([name]) => name !== "before"))}`} download>${T.historyExport}</a></span>
        </form>
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
        <td data-name=${C.began}><a class="row-link" href=${callAddress(row.stream_sid)}><time title=${fully(row.started_at)}>${at(row.started_at)}</time></a>${row.recorded ? html` <span class="recorded" role="img" aria-label=${T.sound.recorded} title=${T.sound.recorded}>●</span>` : nothing}</td>
        <td data-name=${C.caller} dir="ltr">${row.caller_number || T.unknown}${row.direction === "outbound" ? html` <small class="dim">(${T.direction.outbound})</small>` : nothing}${row.carrier === "phone" ? html` <small class="dim">(${T.carrierNames.phone})</small>` : nothing}</td>
        <td data-name=${C.called} dir="ltr">${row.phone_number || T.unknown}</td>
        <td data-name=${C.lasted}>${row.ended_at ? duration(row.duration_seconds) : html`<span class="chip" data-state="streaming"><i class="dot" aria-hidden="true"></i>${T.historyLive}</span>`}</td>
        <td data-name=${C.said}>${row.message_count ?? 0}</td>
        ${this.#mayDelete ? html`<td>${row.ended_at ? html`<button type="button" class="quiet" data-call=${row.stream_sid}
          aria-label=${T.deleteOf(at(row.started_at), row.caller_number || T.unknown)} @click=${() => this.#delete(row)}>${T.delete}</button>` : nothing}</td>` : nothing}</tr>`)}</tbody></table></div>`;
  }
}
customElements.define("cf-history", History);
