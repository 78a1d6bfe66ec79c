// How the server is, and what is set up, in its own words, with what to do next. Asks again while somebody looks.
import { get } from "./api.js";
import { Element, announce, html, nothing } from "./base.js";
import { at, fully } from "./format.js";
import { T } from "./texts.js";

const EVERY = 5000; // ms
const ORDER = { wrong: 0, note: 1, ok: 2 };

class Health extends Element {
  static properties = { told: { state: true }, failed: { state: true } };
  #timer = 0;
  #asking = null;
  #said = "";
  #seen = () => { if (!document.hidden) this.#ask(); };

  connectedCallback() {
    super.connectedCallback();
    document.title = `${T.healthTitle} · ${T.name}`;
    document.addEventListener("visibilitychange", this.#seen);
    this.#ask();
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    document.removeEventListener("visibilitychange", this.#seen);
    clearTimeout(this.#timer);
    this.#asking?.abort();
  }

  async #ask() {
    clearTimeout(this.#timer);
    this.#asking?.abort();
    const asking = (this.#asking = new AbortController());
    try {
      this.told = await get("/api/checks", { signal: asking.signal });
      this.failed = "";
      const summary = this.#summary();
      if (this.#said && this.#said !== summary) announce(summary); // only what has changed
      this.#said = summary;
    } catch (error) {
      if (error.name === "AbortError") return;
      this.failed = error.status === 404 ? T.healthBound : error.message;
    }
    if (this.isConnected && !document.hidden) this.#timer = setTimeout(() => this.#ask(), EVERY);
  }

  #summary() {
    const count = (state) => [...this.told.now, ...this.told.setup].filter((each) => each.state === state).length;
    if (count("wrong")) return T.healthWrong(count("wrong"));
    return count("note") ? T.healthNotes(count("note")) : T.healthWell;
  }

  render() {
    const { told, failed } = this;
    return html`
      <section class="panel" aria-labelledby="health-title" aria-busy=${!told && !failed}>
        <header class="panel-head"><h1 id="health-title">${T.healthTitle}</h1>
          ${told ? html`<span class="dim">${T.healthAt} <time title=${fully(told.at)}>${at(told.at)}</time></span>` : nothing}</header>
        ${failed ? html`<p class="failed" role="alert">${failed} ${told ? T.healthAway : nothing}
          <button type="button" @click=${() => this.#ask()}>${T.retry}</button></p>` : nothing}
        ${told ? html`<p id="health-summary">${this.#summary()}</p>` : failed ? nothing : html`<p class="empty">${T.healthLoading}</p>`}
      </section>
      ${told ? html`${this.#list("now", T.healthNow, told.now)} ${this.#list("setup", T.healthSetup, told.setup)}
        <p class="dim">${T.healthDoctor} <code>python server.py doctor</code></p>` : nothing}`;
  }

  #list(name, title, findings) {
    if (!findings.length) return nothing;
    const sorted = [...findings].sort((one, other) => ORDER[one.state] - ORDER[other.state]);
    return html`<section class="panel" aria-labelledby=${`health-${name}`}>
      <header class="panel-head"><h2 id=${`health-${name}`}>${title}</h2></header>
      <ul class="findings">${sorted.map((each) => html`<li data-state=${each.state}>
        <span class="mark">${T.healthStates[each.state] ?? each.state}</span><strong>${each.about}</strong>
        <p dir="auto">${each.what}${each.remedy ? html`<br><span class="next">→ ${each.remedy}</span>` : nothing}</p></li>`)}</ul>
    </section>`;
  }
}
customElements.define("cf-health", Health);
