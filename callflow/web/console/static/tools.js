// What the agent can do, as the model is told. Tools of the file are changed there; those below it, here.
import { get, post } from "./api.js";
import { html, nothing } from "./base.js";
import { pretty } from "./format.js";
import { FormPage, may, trouble } from "./form_page.js";
import { T } from "./texts.js";
import "./own_tools.js";

const EMPTY = { string: "", number: 0, integer: 0, boolean: false, array: [], object: {} };

/** Arguments to begin with: each parameter that must be there, with a value of its type. */
const template = ({ properties = {}, required = [] } = {}) =>
  JSON.stringify(Object.fromEntries(required.map((name) => [name, properties[name]?.enum?.[0] ?? EMPTY[properties[name]?.type] ?? null])), null, 2);

class Tools extends FormPage {
  static properties = { ...FormPage.properties, tried: { state: true } };

  get heading() { return T.pages.tools; }

  async load() {
    const [tools, own] = await Promise.all([get("/tools"), get("/api/tools/own").catch(() => ({ tools: [] }))]);
    this.own = new Set(own.tools.filter((each) => !each.warnings.length).map((each) => each.name));
    return tools;
  }

  async #try(event, name) {
    event.preventDefault();
    this.tried = null;
    let given;
    try {
      given = JSON.parse(event.target.elements.arguments.value || "{}");
    } catch (error) {
      this.tried = { name, error: { message: T.tools.noJson(error.message) } };
      return;
    }
    const told = await this.act(() => post(`/tools/${encodeURIComponent(name)}/try`, { arguments: given }));
    this.tried = told ? { name, ...told } : { name, error: this.refused };
  }

  draw() {
    return html`<section class="panel" aria-labelledby="tools-title">
      <header class="panel-head"><h1 id="tools-title">${this.heading}</h1><p class="dim">${T.tools.where}</p></header>
      ${this.data.length ? nothing : html`<div class="empty"><p>${T.tools.none}</p></div>`}
      ${this.data.map((each) => html`<details class="field-group"><summary><b>${each.name ?? each.server_label}</b> <small class="dim">${each.type === "mcp" ? T.tools.mcp : this.own.has(each.name) ? T.tools.byPerson : ""}</small> <span dir="auto">${each.description ?? each.server_description ?? ""}</span></summary>
        ${each.parameters ? this.#parameters(each.parameters) : nothing}
        <h3>${T.tools.json}</h3><pre tabindex="0">${pretty(each)}</pre>
        ${each.type === "function" && !this.own.has(each.name) && may(this.me, "configure") && !this.me.business ? this.#trial(each) : nothing}</details>`)}</section>
      <cf-own-tools .me=${this.me} @changed=${() => this.reload()}></cf-own-tools>`;
  }

  #parameters({ properties = {}, required = [] }) {
    const names = Object.keys(properties);
    if (!names.length) return html`<p class="dim">${T.tools.noParameters}</p>`;
    return html`<dl class="facts">${names.map((name) => html`<dt><code>${name}</code></dt>
      <dd>${properties[name].type ?? ""}${required.includes(name) ? nothing : html` <small class="dim">${T.tools.optional}</small>`} <span dir="auto">${properties[name].description ?? ""}</span></dd>`)}</dl>`;
  }

  #trial(tool) {
    const tried = this.tried?.name === tool.name ? this.tried : null;
    return html`<form class="sheet" @submit=${(event) => this.#try(event, tool.name)}>
      <label class="whole"><span>${T.tools.arguments}</span><textarea name="arguments" rows="4" spellcheck="false" dir="ltr" .defaultValue=${template(tool.parameters)}></textarea></label>
      <p class="buttons"><button ?disabled=${this.busy}>${T.tools.tryIt}</button> <small class="dim">${T.tools.effects}</small></p></form>
      <div class="outcome" role="status">${tried?.error ? trouble(tried.error) : tried ? html`<p class=${tried.ok ? "good" : "failed"}>${tried.ok ? T.tools.answered(tried.ms) : T.tools.failed(tried.ms)}</p><pre tabindex="0">${pretty(tried.output)}</pre>` : nothing}</div>`;
  }
}
customElements.define("cf-tools", Tools);
