// Searches of the history that somebody has saved under a name, for all operators.
import { ask, get, send } from "./api.js";
import { Element, announce, html, nothing, repeat } from "./base.js";
import { addressOf } from "./history_query.js";
import { named } from "./named.js";
import { may } from "./form_page.js";
import { T } from "./texts.js";

const V = T.views;

class Views extends Element {
  static properties = { filters: { attribute: false }, me: { attribute: false }, views: { state: true }, failed: { state: true } };

  connectedCallback() { super.connectedCallback(); this.#load(); }

  async #load() {
    try { this.views = await get("/api/views"); } catch (error) { this.failed = error.message; }
  }

  async #act(work, done) {
    this.failed = "";
    try {
      await work();
      announce(done);
      await this.#load();
    } catch (error) {
      this.failed = named(error, { ...T.historyFilters, name: V.name }).message;
      announce(error.message);
    }
  }

  #save = (event) => {
    event.preventDefault();
    const field = event.target.elements.name;
    const name = field.value.trim();
    if (!name) return;
    const filters = Object.fromEntries([...this.filters].filter(([each]) => each !== "before"));
    this.#act(() => send("PUT", `/api/views/${encodeURIComponent(name)}`, { body: { filters } }), V.saved(name)).then(() => { if (!this.failed) field.value = ""; });
  };

  #delete(name) { this.#act(() => ask(`/api/views/${encodeURIComponent(name)}`, { method: "DELETE" }), V.deleted(name)); }

  render() {
    const here = addressOf(this.filters);
    const isFiltered = [...this.filters.keys()].some((each) => each !== "before");
    const mayChange = may(this.me, "operate");
    if (!this.views?.length && !(mayChange && isFiltered) && !this.failed) return nothing;
    return html`<nav class="views" aria-label=${V.title}>
      ${this.views?.length ? html`<ul>${repeat(this.views, (each) => each.name, (each) => html`<li class="chip">
        <a href=${addressOf(each.filters)} aria-current=${addressOf(each.filters) === here ? "page" : nothing} title=${V.by(each.by)} dir="auto">${each.name}</a>
        ${mayChange ? html`<button type="button" class="quiet small" aria-label=${V.deleteOf(each.name)} @click=${() => this.#delete(each.name)}>×</button>` : nothing}</li>`)}</ul>` : nothing}
      ${mayChange && isFiltered ? html`<form @submit=${this.#save}><input name="name" required maxlength="80" autocomplete="off" placeholder=${V.name} aria-label=${V.name} list="view-names">
        <datalist id="view-names">${this.views?.map((each) => html`<option value=${each.name}></option>`)}</datalist><button>${V.save}</button></form>` : nothing}
      ${this.failed ? html`<p class="failed" role="alert">${this.failed}</p>` : nothing}</nav>`;
  }
}
customElements.define("cf-views", Views);
