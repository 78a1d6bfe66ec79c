// The control endpoint: how it is set up, and its runtime settings, which need the admin secret. That is kept nowhere.
import { ask } from "./api.js";
import { html, nothing } from "./base.js";
import { pretty } from "./format.js";
import { FormPage, may, trouble } from "./form_page.js";
import { T } from "./texts.js";

const C = T.control;
const PATH = "/api/realtime/control/settings";

class Control extends FormPage {
  static properties = { ...FormPage.properties, told: { state: true } };

  get heading() { return C.title; }

  /** A part of a page: the title is the page's. */
  connectedCallback() { const { title } = document; super.connectedCallback(); document.title = title; }

  async load() { return (await ask("/api/realtime/control/about")).json(); }

  #secret() { return { "X-Admin-Secret": this.querySelector("input[name=admin]").value }; }

  /** Whether the admin secret is there; the browser says it where it is not. Without it the server would ask for a login. */
  #ready() { return this.querySelector("form").reportValidity(); }

  #show(told) {
    this.told = told;
    this.querySelector("textarea[name=settings]").value = told.settings ? pretty(told.settings) : "";
  }

  async #look() {
    if (!this.#ready()) return;
    const told = await this.act(async () => (await ask(PATH, { more: this.#secret() })).json(), (one) => (one.settings ? C.loaded : C.defaults));
    if (told) this.#show(told);
  }

  async #save(settings) {
    if (!this.#ready()) return;
    const told = await this.act(async () => (await ask(PATH, { method: "POST", body: { settings }, more: this.#secret() })).json(), settings ? C.saved : C.reset);
    if (told) this.#show(told);
  }

  #given(event) {
    event.preventDefault();
    const text = event.target.elements.settings.value.trim();
    try {
      this.#save(text ? JSON.parse(text) : null);
    } catch (error) {
      this.refused = new Error(C.noJson(error.message));
    }
  }

  render() { return this.data ? this.draw() : trouble(this.failed); }

  draw() {
    const { path, bearer, signed, admin, asks } = this.data;
    return html`<section class="panel" aria-labelledby="control-title">
      <header class="panel-head"><h2 id="control-title">${C.title}</h2><p class="dim">${C.what(path)}</p></header>
      <dl class="facts"><dt>${C.checks}</dt><dd>${bearer || signed ? [bearer && C.bearer, signed && C.signed].filter(Boolean).join(", ") : html`<span class="warning">${C.closed}</span>`}</dd>
        <dt>${C.asks}</dt><dd>${C.asked[asks]}</dd></dl>
      ${admin && may(this.me, "configure") ? html`<form class="sheet" @submit=${this.#given}>
        <label><span>${C.admin}</span><input name="admin" type="password" required autocomplete="off"></label>
        <p><button type="button" ?disabled=${this.busy} @click=${this.#look}>${C.look}</button></p>
        <label class="whole"><span>${C.settings}</span><textarea name="settings" rows="6" spellcheck="false" dir="ltr" placeholder='{"voice": "cedar", "turn_detection": {"type": "semantic_vad"}}'></textarea></label>
        <p class="buttons"><button class="primary" ?disabled=${this.busy}>${C.save}</button>
          <button type="button" ?disabled=${this.busy} @click=${() => this.#save(null)}>${C.forget}</button></p></form>` : html`<p class="empty">${admin ? C.mayNot : C.noAdmin}</p>`}
      ${this.outcome()}
      ${this.told?.warnings?.length ? html`<ul class="lines warning">${this.told.warnings.map((each) => html`<li dir="auto">${each}</li>`)}</ul>` : nothing}
      ${this.told ? html`<details class="field-group"><summary>${C.update}</summary><pre tabindex="0">${pretty(this.told.update)}</pre></details>` : nothing}</section>`;
  }
}
customElements.define("cf-control", Control);
