// What the server has found wrong with itself: how many alerts are open, in the menu, and the list of them.
import { get, post } from "./api.js";
import { Element, announce, html, nothing, repeat } from "./base.js";
import { at, fully } from "./format.js";
import { may, trouble } from "./form_page.js";
import { T } from "./texts.js";

const A = T.alerts;
const EVERY = 15000; // ms
const SHOWN = 50;

class Alerts extends EventTarget {
  counts = { open: 0, seen: 0, closed: 0 };
  list = null;
  #timer = 0;
  #isStarted = false;

  start() {
    if (this.#isStarted) return;
    this.#isStarted = true;
    document.addEventListener("visibilitychange", () => { if (!document.hidden) this.ask(); });
    this.ask();
  }

  async ask() {
    clearTimeout(this.#timer);
    try {
      const told = await get(`/api/alerts?limit=${SHOWN}`);
      if (told.counts.open > this.counts.open) announce(A.open(told.counts.open));
      this.counts = told.counts;
      this.list = told.alerts;
      this.dispatchEvent(new Event("change"));
    } catch { /* the page says already that the server does not answer */ }
    clearTimeout(this.#timer);
    if (!document.hidden) this.#timer = setTimeout(() => this.ask(), EVERY);
  }

  /** Note that somebody has seen an alert, or close it. Throws Refused. */
  async act(id, way) {
    try {
      await post(`/api/alerts/${encodeURIComponent(id)}/${way}`);
      announce(A.done[way]);
    } finally {
      await this.ask();
    }
  }
}

export const alerts = new Alerts();

class Watching extends Element {
  #changed = () => this.requestUpdate();

  connectedCallback() { super.connectedCallback(); alerts.addEventListener("change", this.#changed); alerts.start(); }

  disconnectedCallback() { super.disconnectedCallback(); alerts.removeEventListener("change", this.#changed); }
}

class Count extends Watching {
  render() {
    const { open } = alerts.counts;
    return open ? html`<span class="count" title=${A.open(open)}><span aria-hidden="true">${open}</span><span class="hidden">${A.open(open)}</span></span>` : nothing;
  }
}
customElements.define("cf-alert-count", Count);

class List extends Watching {
  static properties = { me: { attribute: false }, failed: { state: true }, busy: { state: true } };

  async #act(id, way) {
    this.busy = true;
    this.failed = null;
    try {
      await alerts.act(id, way);
    } catch (error) {
      this.failed = error;
    } finally {
      this.busy = false;
    }
  }

  #one(each) {
    const moment = (value) => html`<time title=${fully(value)}>${at(value)}</time>`;
    const buttons = may(this.me, "operate") && each.state !== "closed";
    return html`<li data-state=${each.state === "closed" ? "ok" : each.severity} data-alert=${each.state}>
      <span class="mark">${A.states[each.state]}</span><strong>${each.about}</strong>
      <p dir="auto">${each.what}${each.remedy && each.state !== "closed" ? html`<br><span class="next">→ ${each.remedy}</span>` : nothing}
        <br><small class="dim">${A.since} ${moment(each.opened_at)}${each.seen_at ? html` · ${A.seenBy} ${each.seen_by}, ${moment(each.seen_at)}` : nothing}${each.closed_at ? html` · ${each.closed_by ? A.closedBy(each.closed_by) : A.over} ${moment(each.closed_at)}` : nothing}</small></p>
      ${buttons ? html`<span class="buttons">
        ${each.state === "open" ? html`<button type="button" ?disabled=${this.busy} aria-label=${`${A.see}: ${each.about}`} @click=${() => this.#act(each.id, "seen")}>${A.see}</button>` : nothing}
        <button type="button" ?disabled=${this.busy} aria-label=${`${A.close}: ${each.about}`} title=${A.closeTitle} @click=${() => this.#act(each.id, "closed")}>${A.close}</button></span>` : nothing}</li>`;
  }

  render() {
    const { list } = alerts;
    if (!list) return nothing;
    const present = list.filter((each) => each.state !== "closed");
    const closed = list.filter((each) => each.state === "closed");
    const rows = (some) => html`<ul class="findings alerts">${repeat(some, (each) => each.id, (each) => this.#one(each))}</ul>`;
    return html`<section class="panel" aria-labelledby="alerts-title">
      <header class="panel-head"><h2 id="alerts-title">${A.title}</h2><small class="dim">${A.what}</small></header>
      ${trouble(this.failed)}
      ${present.length ? rows(present) : html`<p class="dim">${A.none}</p>`}
      ${closed.length ? html`<details class="closed"><summary>${A.closed(closed.length)}</summary>${rows(closed)}</details>` : nothing}
    </section>`;
  }
}
customElements.define("cf-alerts", List);
