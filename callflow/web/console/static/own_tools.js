// Tools that are defined here and answered by a person: written as JSON, checked by the server while one types.
import { get, post, send } from "./api.js";
import { announce, html, nothing, repeat } from "./base.js";
import { at, pretty } from "./format.js";
import { FormPage, confirmed, may } from "./form_page.js";
import { T } from "./texts.js";

const O = T.ownTools;
const CALM = 300; // ms without a key until the server is asked
const pathOf = (name) => `/api/tools/own/${encodeURIComponent(name)}`;

class OwnTools extends FormPage {
  static properties = { ...FormPage.properties, edited: { state: true }, checked: { state: true }, text: { state: true }, versions: { state: true }, gone: { state: true } };
  #timer = 0;
  #begun = ""; // the text that the editor began with
  #asked = 0;

  constructor() { super(); this.edited = null; this.text = ""; this.gone = null; }

  get heading() { return T.pages.tools; }

  load() { return get("/api/tools/own"); }

  get isUnsaved() { return this.edited !== null && this.text !== this.#begun; }

  disconnectedCallback() { super.disconnectedCallback(); clearTimeout(this.#timer); }

  /** Put a definition into the editor. `tool`: the one that it changes; null: it makes one. */
  async #edit(tool, definition) {
    this.edited = tool ?? { name: "", version: 0 };
    this.versions = this.refused = this.gone = null;
    this.said = "";
    this.#begun = pretty(definition);
    this.#write(this.#begun);
    await this.updateComplete;
    this.querySelector("textarea").focus();
    this.#look();
  }

  #write(text) { this.text = text; this.checked = null; }

  #typed(text) {
    this.#asked += 1; // what is being checked is not what stands there any more
    this.#write(text);
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#look(), CALM);
  }

  async #look() {
    const asked = (this.#asked += 1);
    try {
      const told = await post("/api/tools/check", { text: this.text });
      if (asked === this.#asked && this.edited) this.checked = told;
    } catch (error) {
      if (asked === this.#asked) this.refused = error;
    }
  }

  #close() { clearTimeout(this.#timer); this.#asked += 1; this.edited = this.checked = this.versions = null; }

  #save = async (event) => {
    event.preventDefault();
    if (!this.checked?.ok) return;
    const { name, version } = this.edited;
    const definition = this.checked.definition;
    const work = name ? () => send("PUT", pathOf(name), { body: { ...definition, version } }) : () => post("/api/tools/own", definition);
    const told = await this.act(work, (now) => O.saved(now.name, now.version));
    if (!told) return;
    this.#close();
    await this.#changed();
  };

  async #changed() {
    await this.reload();
    this.dispatchEvent(new CustomEvent("changed", { bubbles: true }));
  }

  async #delete(tool) {
    if (!await confirmed(O.deleteTitle(tool.name), [O.deleteWords], [["yes", T.delete, "danger"]])) return;
    const told = await this.act(() => send("DELETE", pathOf(tool.name), { body: { version: tool.version } }), O.deleted(tool.name));
    if (!told) return;
    if (this.edited?.name === tool.name) this.#close();
    this.gone = tool.definition;
    await this.#changed();
  }

  async #bringBack() {
    const definition = this.gone;
    if (await this.act(() => post("/api/tools/own", definition), O.back(definition.name))) { this.gone = null; await this.#changed(); }
  }

  async #showVersions() {
    const told = await this.act(() => get(`${pathOf(this.edited.name)}/versions`));
    if (told) this.versions = told.versions;
  }

  /** To the place of a problem in the text. */
  #to({ line, column }) {
    const area = this.querySelector("textarea");
    const place = this.text.split("\n").slice(0, line - 1).reduce((sum, each) => sum + each.length + 1, 0) + column - 1;
    area.focus();
    area.setSelectionRange(place, Math.min(place + 1, this.text.length));
  }

  draw() {
    const mayChange = may(this.me, "configure") && !this.me.business;
    const { tools, warnings } = this.data;
    const C = O.columns;
    return html`<section class="panel" aria-labelledby="own-title">
      <header class="panel-head"><h2 id="own-title">${O.title}</h2><p class="dim">${O.what}</p></header>
      ${warnings.map((each) => html`<p class="warning">${each}</p>`)}
      ${tools.length ? html`<div class="table"><table><thead><tr>${Object.values(C).map((each) => html`<th scope="col">${each}</th>`)}</tr></thead>
        <tbody>${repeat(tools, (each) => each.name, (each) => html`<tr>
          <td data-name=${C.name}><code>${each.name}</code></td>
          <td data-name=${C.what} class="wide" dir="auto">${each.definition.description || T.unknown}${each.warnings.map((line) => html` <small class="warning">${line}</small>`)}</td>
          <td data-name=${C.waits}>${O.seconds(each.definition.seconds)}</td>
          <td data-name=${C.changed}>${T.profiles.version(each.version)} · ${at(each.changed)} <small class="dim">${each.by}</small></td>
          <td>${mayChange ? html`<button type="button" aria-label=${O.editOf(each.name)} ?disabled=${this.busy} @click=${() => this.#edit(each, each.definition)}>${O.edit}</button>
            <button type="button" class="danger" aria-label=${O.deleteOf(each.name)} ?disabled=${this.busy} @click=${() => this.#delete(each)}>${T.delete}</button>` : nothing}</td></tr>`)}</tbody></table></div>`
        : html`<p class="dim">${O.none}</p>`}
      ${mayChange ? html`<form class="filters own-new" @submit=${(event) => event.preventDefault()}><label><span>${O.begin}</span>
        <select name="template" @change=${(event) => this.#begin(event.target)}><option value="">${O.choose}</option>
          ${this.data.templates.map((each, index) => html`<option value=${index}>${each.name}</option>`)}<option value="empty">${O.empty}</option></select></label></form>` : html`<p class="dim">${T.actsConfigure}</p>`}
      ${this.edited ? this.#editor() : nothing}
      ${this.outcome()}
      ${this.gone ? html`<p class="buttons"><button type="button" ?disabled=${this.busy} @click=${() => this.#bringBack()}>${T.undo}</button></p>` : nothing}
    </section>`;
  }

  #begin(select) {
    const { value } = select;
    select.value = "";
    if (value === "") return;
    const template = value === "empty" ? { name: "", description: "", parameters: { type: "object", properties: {}, required: [] } } : this.data.templates[Number(value)];
    this.#edit(null, { ...template, seconds: 60 });
  }

  #editor() {
    const { name } = this.edited;
    const { checked } = this;
    return html`<form class="sheet own-editor" @submit=${this.#save}>
      <label class="whole"><span>${name ? O.change(name) : O.make}</span>
        <textarea name="definition" rows="18" spellcheck="false" autocapitalize="off" dir="ltr" aria-describedby="own-checked" aria-invalid=${checked ? String(!checked.ok) : nothing}
          .value=${this.text} @input=${(event) => this.#typed(event.target.value)}></textarea></label>
      <div id="own-checked" class="whole checked" role="status">${checked ? this.#verdict(checked) : html`<p class="dim">${O.checking}</p>`}</div>
      <p class="buttons"><button class="primary" ?disabled=${this.busy || !checked?.ok}>${O.save}</button>
        <button type="button" @click=${() => this.#close()}>${T.cancel}</button>
        ${name ? html`<button type="button" ?disabled=${this.busy} @click=${() => this.#showVersions()}>${T.profiles.versions}</button>` : nothing}</p></form>
      ${this.versions ? this.#history() : nothing}`;
  }

  #verdict(checked) {
    return html`${checked.ok ? html`<p class="good">${O.good}</p>` : nothing}
      <ul class="lines">${checked.problems.map((each) => html`<li class="failed" dir="auto">${each.line ? html`<button type="button" class="small" @click=${() => this.#to(each)}>${O.place(each.line, each.column)}</button> ` : nothing}${each.text}</li>`)}
      ${checked.warnings.map((each) => html`<li class="warning" dir="auto">${each}</li>`)}</ul>`;
  }

  #history() {
    const V = T.profiles;
    const present = pretty(this.edited.definition);
    return html`<h3>${V.versions}</h3><ul class="lines own-versions">${this.versions.map((each) => html`<li><details>
      <summary>${V.version(each.version)} · ${at(each.changed)} <small class="dim">${each.by}</small> ${each.version === this.edited.version ? html`<small class="dim">${V.present}</small>` : nothing}</summary>
      ${each.definition ? html`${difference(pretty(each.definition), present)}
        <button type="button" @click=${() => { this.#write(pretty(each.definition)); this.#look(); announce(O.inEditor(each.version)); this.querySelector("textarea").focus(); }}>${O.take}</button>` : html`<p class="dim">${V.gone}</p>`}</details></li>`)}</ul>`;
  }
}
customElements.define("cf-own-tools", OwnTools);

/** The lines of an old text: those that the new one lacks, and behind them those that it has and the old one lacks. */
function difference(then, now) {
  const [before, after] = [then.split("\n"), now.split("\n")];
  const count = before.map(() => new Uint16Array(after.length + 1));
  count.push(new Uint16Array(after.length + 1));
  for (let i = before.length - 1; i >= 0; i -= 1) {
    for (let j = after.length - 1; j >= 0; j -= 1) count[i][j] = before[i] === after[j] ? count[i + 1][j + 1] + 1 : Math.max(count[i + 1][j], count[i][j + 1]);
  }
  const lines = [];
  let [i, j] = [0, 0];
  while (i < before.length || j < after.length) {
    if (i < before.length && j < after.length && before[i] === after[j]) { lines.push([" ", before[i]]); i += 1; j += 1; }
    else if (j >= after.length || (i < before.length && count[i + 1][j] >= count[i][j + 1])) { lines.push(["−", before[i]]); i += 1; }
    else { lines.push(["+", after[j]]); j += 1; }
  }
  return html`<pre class="difference-text" tabindex="0">${lines.map(([sign, line]) => html`<span data-sign=${sign}>${sign} ${line}</span>`)}</pre>`;
}
