// How the server is, and what is set up, in its own words, with what to do next. Asks again while somebody looks.
import { alerts } from "./alerts.js";
import { get } from "./api.js";
import { Element, announce, html, nothing } from "./base.js";
import { findings } from "./findings.js";
import { at, fully } from "./format.js";
import { T } from "./texts.js";
import "./doctor.js";
import "./nodes.js";

const EVERY = 5000; // ms

class Health extends Element {
  static properties = { me: { attribute: false }, told: { state: true }, failed: { state: true } };
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
      alerts.ask();
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
      ${told ? html`<cf-alerts .me=${this.me}></cf-alerts><cf-nodes .me=${this.me}></cf-nodes>
        ${this.#list("now", T.healthNow(told.node), told.now)} ${this.#list("setup", T.healthSetup, told.setup)}
        <cf-doctor .me=${this.me}></cf-doctor>` : nothing}`;
  }

  #list(name, title, list) {
    if (!list.length) return nothing;
    return html`<section class="panel" aria-labelledby=${`health-${name}`}>
      <header class="panel-head"><h2 id=${`health-${name}`}>${title}</h2></header>${findings(list)}</section>`;
  }
}
customElements.define("cf-health", Health);
