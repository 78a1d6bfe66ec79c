// What the agent can do, as the model is told. Tools are Python functions: they are changed in their file.
import { get } from "./api.js";
import { html, nothing } from "./base.js";
import { pretty } from "./format.js";
import { Sheet } from "./sheet.js";
import { T } from "./texts.js";

class Tools extends Sheet {
  get heading() { return T.pages.tools; }

  load() { return get("/tools"); }

  draw() {
    return html`<section class="panel" aria-labelledby="tools-title">
      <header class="panel-head"><h1 id="tools-title">${this.heading}</h1><p class="dim">${T.tools.where}</p></header>
      ${this.data.length ? nothing : html`<div class="empty"><p>${T.tools.none}</p></div>`}
      ${this.data.map((each) => html`<details class="field-group"><summary><b>${each.name ?? each.server_label}</b> <small class="dim">${each.type === "mcp" ? T.tools.mcp : ""}</small> <span dir="auto">${each.description ?? each.server_description ?? ""}</span></summary>
        ${each.parameters ? this.#parameters(each.parameters) : nothing}
        <h3>${T.tools.json}</h3><pre>${pretty(each)}</pre></details>`)}</section>`;
  }

  #parameters({ properties = {}, required = [] }) {
    const names = Object.keys(properties);
    if (!names.length) return html`<p class="dim">${T.tools.noParameters}</p>`;
    return html`<dl class="facts">${names.map((name) => html`<dt><code>${name}</code></dt>
      <dd>${properties[name].type ?? ""}${required.includes(name) ? nothing : html` <small class="dim">${T.tools.optional}</small>`} <span dir="auto">${properties[name].description ?? ""}</span></dd>`)}</dl>`;
  }
}
customElements.define("cf-tools", Tools);
