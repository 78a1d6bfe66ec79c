// The doctor, asked from the page: it works in a process of its own, and its findings come one after another.
import { get, post } from "./api.js";
import { Element, announce, html, nothing } from "./base.js";
import { alerts } from "./alerts.js";
import { findings } from "./findings.js";
import { at } from "./format.js";
import { may, trouble } from "./form_page.js";
import { T } from "./texts.js";

const D = T.doctor;
const EVERY = 700; // ms, while it works

class Doctor extends Element {
  static properties = { me: { attribute: false }, told: { state: true }, failed: { state: true } };
  #timer = 0;

  connectedCallback() { super.connectedCallback(); this.#look(); }

  disconnectedCallback() { super.disconnectedCallback(); clearTimeout(this.#timer); }

  async #look() {
    clearTimeout(this.#timer);
    const wasRunning = this.told?.state === "running";
    try {
      this.told = await get("/api/doctor");
    } catch (error) {
      if (!wasRunning) return; // this server has no doctor, or the page says already that it is away
      this.failed = error;
    }
    if (this.told.state === "running") {
      if (this.isConnected) this.#timer = setTimeout(() => this.#look(), EVERY);
    } else if (wasRunning) {
      announce(this.#summary());
      alerts.ask();
    }
  }

  #ask = async () => {
    this.failed = null;
    try {
      this.told = await post("/api/doctor");
      announce(D.running);
    } catch (error) {
      this.failed = error;
    }
    this.#look();
  };

  #summary() {
    const { state, why, ended, findings: list } = this.told;
    if (state === "running") return D.running;
    if (state === "failed") return D.failed(why);
    const wrong = list.filter((each) => each.state === "wrong").length;
    return `${wrong ? T.healthWrong(wrong) : D.well} ${D.asOf} ${at(ended)}`;
  }

  render() {
    const { told } = this;
    if (!told) return nothing;
    const runs = told.state === "running";
    return html`<section class="panel" aria-labelledby="doctor-title" aria-busy=${runs}>
      <header class="panel-head"><h2 id="doctor-title">${D.title}</h2><small class="dim">${D.what}</small></header>
      ${may(this.me, "configure") ? html`<p class="buttons"><button type="button" id="ask-doctor" ?disabled=${runs} @click=${this.#ask}>${runs ? D.running : D.ask}</button>
        ${runs ? html`<progress aria-label=${D.running}></progress>` : nothing}</p>` : told.state === "never" ? html`<p class="dim">${D.viewer}</p>` : nothing}
      ${trouble(this.failed)}
      ${told.state === "never" ? nothing : html`<p id="doctor-summary" class=${told.state === "failed" ? "failed" : "dim"}>${runs ? D.sofar(told.findings.length) : this.#summary()}</p>`}
      ${told.findings.length ? findings(told.findings) : nothing}
    </section>`;
  }
}
customElements.define("cf-doctor", Doctor);
