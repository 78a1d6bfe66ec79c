// Ring somebody: what it would do and cost is checked by the server before there is a button to press.
import { get, post, send } from "./api.js";
import { callAddress, html, nothing } from "./base.js";
import { duration } from "./format.js";
import { named } from "./named.js";
import { FormPage, dollars, may, newKey, trouble } from "./form_page.js";
import { T } from "./texts.js";

const D = T.dial;
const CALM = 400; // ms without a key until the server is asked
const LOOK = 1000; // ms between two looks at a call

class Dial extends FormPage {
  static properties = { ...FormPage.properties, profile: { state: true }, check: { state: true }, wrong: { state: true }, call: { state: true } };
  #timer = 0;
  #asked = 0;
  #key = newKey();
  #watch = 0;

  constructor() { super(); this.profile = ""; }

  get heading() { return T.pages.dial; }

  get fields() { return { toNumber: D.number, from: D.from, carrier: D.carrier, profile: D.profile, greeting: D.greeting, record: D.record }; }

  disconnectedCallback() { super.disconnectedCallback(); clearTimeout(this.#timer); clearTimeout(this.#watch); }

  async load() {
    const [limits, budget] = await Promise.all([get("/api/limits"), get("/api/budget").catch(() => null)]);
    return { limits, budget };
  }

  #body() {
    const { elements } = this.querySelector("form");
    const body = { toNumber: elements.number.value.replace(/[\s().-]/g, "") };
    for (const name of ["from", "carrier", "profile", "greeting"]) {
      const value = elements[name]?.value.trim();
      if (value) body[name] = value;
    }
    if (elements.record.checked) body.record = true;
    const named = [...this.querySelectorAll("[data-variable]")].filter((each) => each.value.trim());
    if (named.length) body.variables = Object.fromEntries(named.map((each) => [each.dataset.variable, each.value.trim()]));
    return body;
  }

  #changed = () => {
    this.profile = this.querySelector("form").elements.profile.value;
    this.#key = newKey();
    this.#asked += 1; // what is being checked is not what stands there any more
    this.check = this.wrong = null;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#look(), CALM);
  };

  async #look() {
    const body = this.#body();
    if (body.toNumber.length < 5) return;
    const asked = (this.#asked += 1);
    try {
      const told = await post("/api/calls/check", body);
      if (asked === this.#asked) this.check = told;
    } catch (error) {
      if (asked === this.#asked) this.wrong = named(error, this.fields);
    }
  }

  #dial = async (event) => {
    event.preventDefault();
    if (!this.check?.may) { this.#look(); return; }
    const told = await this.act(() => send("POST", "/api/calls", { body: this.#body(), more: { "Idempotency-Key": this.#key } }), D.done);
    if (!told) return;
    this.#key = newKey();
    this.call = { sid: told.id, status: told.state, warnings: told.warnings ?? [] };
    this.#follow(told.id);
  };

  async #follow(id) {
    clearTimeout(this.#watch);
    try {
      const found = await get(`/api/calls?sid=${encodeURIComponent(id)}`);
      const one = Array.isArray(found) ? found[0] : found;
      if (one) this.call = { ...this.call, ...one, sid: id };
    } catch { /* the next look may be better */ }
    if (this.isConnected && !this.call.endTime) this.#watch = setTimeout(() => this.#follow(id), LOOK);
  }

  draw() {
    const { limits } = this.data;
    if (!may(this.me, "operate")) return html`<section class="panel"><h1>${this.heading}</h1><p class="dim">${T.actsViewer}</p></section>`;
    if (!limits.carriers.length) return html`<section class="panel"><h1>${this.heading}</h1><div class="empty"><p>${D.noCarrier}</p><p class="dim">${D.noCarrierNext}</p></div></section>`;
    const chosen = limits.profiles.find((each) => each.profile === this.profile);
    return html`
      <div class="call-body">
      <section class="panel" aria-labelledby="dial-title">
        <h1 id="dial-title">${this.heading}</h1>
        <form class="sheet" @submit=${this.#dial} @input=${this.#changed}>
          <label><span>${D.number}</span><input name="number" type="tel" required autocomplete="off" placeholder="+15550100001"></label>
          <label><span>${D.profile}</span><select name="profile">
            <option value="">${D.ofNumber}</option>${limits.profiles.filter((each) => each.profile).map((each) => html`<option value=${each.profile}>${each.profile}</option>`)}</select></label>
          ${chosen?.variables.map((name) => html`<label><span>${D.variable(name)}</span><input data-variable=${name} dir="auto" autocomplete="off"></label>`)}
          <label><span>${D.greeting}</span><input name="greeting" dir="auto" autocomplete="off"></label>
          ${limits.carriers.length > 1 ? html`<label><span>${D.carrier}</span><select name="carrier"><option value="">${D.first}</option>${limits.carriers.map((each) => html`<option>${each.name}</option>`)}</select></label>` : nothing}
          <label><span>${D.from}</span><input name="from" type="tel" autocomplete="off" placeholder=${limits.carriers[0].from}></label>
          <label class="flag"><input name="record" type="checkbox"><span>${D.record}</span></label>
          <p class="buttons"><button class="primary" ?disabled=${this.busy || !this.check?.may}>${D.dial}</button></p>
        </form>
        ${this.outcome()}
        ${this.call ? this.#progress() : nothing}
      </section>
      <section class="panel" aria-labelledby="rails-title" aria-live="polite">
        <h2 id="rails-title">${D.before}</h2>
        ${this.#rails()}
      </section></div>`;
  }

  #rails() {
    const { limits, budget } = this.data;
    const found = this.check;
    const price = found ? found.minute : limits.profiles.find((each) => each.profile === this.profile)?.minute;
    const minutes = (found?.seconds ?? limits.profiles.find((each) => each.profile === this.profile)?.seconds ?? 0) / 60;
    const rows = [
      [D.price, price === null || price === undefined ? D.priceUnknown : D.priceOf(dollars(price))],
      [D.longest, D.longestOf(duration(minutes * 60), price ? dollars(price * (minutes + (found?.ringing ?? 0) / 60)) : "")],
      [D.places, limits.calls.live === null ? D.placesOf(limits.calls.most) : D.placesUsed(limits.calls.live, limits.calls.most)],
      [D.pace, D.paceOf(limits.dialsPerMinute)],
      [D.allow, limits.allow || D.allowAll],
      ...(limits.deny ? [[D.deny, limits.deny]] : []),
      ...(budget ? [[D.today, D.todayOf(dollars(budget.all.usd), budget.all.minutes, limits.day)]] : []),
      ...(found ? [[D.from, found.from], [D.carrier, found.carrier], [T.factNames.profile, found.profile || D.noProfile], [D.model, found.model]] : []),
    ];
    return html`
      ${this.wrong ? trouble(this.wrong) : nothing}
      ${found ? html`<p class=${found.may ? "good" : "failed"}>${found.may ? D.may : found.why}</p>` : this.wrong ? nothing : html`<p class="dim">${D.typeFirst}</p>`}
      ${found?.warnings?.length ? html`<ul class="lines warnings">${found.warnings.map((each) => html`<li class="warning">${each}</li>`)}</ul>` : nothing}
      <dl class="facts">${rows.map(([name, value]) => html`<dt>${name}</dt><dd dir="auto">${value}</dd>`)}</dl>`;
  }

  #progress() {
    const { call } = this;
    return html`<section class="progress" aria-label=${D.progress}>
      <h2>${D.progress}</h2>
      <p><span class="chip" data-state=${call.status}><i class="dot" aria-hidden="true"></i>${T.statuses[call.status] ?? call.status}</span>
        ${call.duration ? html` ${duration(call.duration)}` : nothing}
        <a href=${callAddress(call.sid)}>${D.open}</a></p>
      ${call.endTime && call.causeText ? html`<p class="dim" dir="auto">${call.causeText}</p>` : nothing}
      ${call.warnings?.map((each) => html`<p class="warning">${each}</p>`)}</section>`;
  }
}
customElements.define("cf-dial", Dial);
