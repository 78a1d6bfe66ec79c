// Ctrl-K: find a call, live or of before, a number or a command. And the list of keys.
import { Element, callAddress, html, nothing } from "./base.js";
import { at } from "./format.js";
import { live } from "./live.js";
import { PastCalls, isId, isNumber } from "./past_calls.js";
import { PLACES } from "./place_names.js";
import { T } from "./texts.js";

class Palette extends Element {
  static properties = { words: { state: true }, chosen: { state: true } };

  #past = new PastCalls(() => this.requestUpdate());

  constructor() { super(); this.words = ""; this.chosen = 0; }

  willUpdate(changed) { if (changed.has("words")) this.#past.look(this.words.trim()); }

  get dialog() { return this.querySelector("dialog"); }

  open() {
    this.words = "";
    this.chosen = 0;
    this.dialog.showModal();
    this.querySelector("input").focus();
  }

  #found() {
    const words = this.words.trim();
    const fits = (text) => text.toLowerCase().includes(words.toLowerCase());
    const digits = words.replace(/\D/g, "");
    const calls = live.rows().filter((row) => fits(row.id) || fits(row.profile ?? "") || (digits && [row.from, row.to].some((each) => (each ?? "").includes(digits))));
    const commands = [
      [T.wall, "#/"], [T.history, "#/history"], [T.health, "#/health"], ...PLACES.map((each) => [each.name, `#/${each.view}`]), [T.routes, "/api"],
    ].filter(([name]) => fits(name)).map(([text, href]) => ({ text, href }));
    const found = [...calls.slice(0, 8).map((row) => ({ text: T.paletteCall(row), note: T.states[row.state] ?? row.state, href: callAddress(row.id) })), ...commands];
    if (words) {
      found.push({ text: T.paletteSearch(words), href: `#/history?${new URLSearchParams({ [isNumber(words) ? "number" : "text"]: words })}` });
      // Behind the rest, so that what is chosen does not move when they come.
      const past = this.#past.rows.filter((row) => !live.calls.has(row.id));
      found.push(...past.map((row) => ({ text: T.paletteCall({ from: row.from || T.unknown, to: row.to || T.unknown }), note: at(row.began), href: callAddress(row.id) })));
      if (isId(words)) found.unshift({ text: `${T.open} ${words}`, href: callAddress(words) });
    }
    return found;
  }

  #key(event, found) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) {
      event.preventDefault();
      this.chosen = (this.chosen + step + found.length) % Math.max(1, found.length);
      this.updateComplete.then(() => this.querySelector('[aria-selected="true"]')?.scrollIntoView({ block: "nearest" }));
    } else if (event.key === "Enter" && found[this.chosen]) {
      event.preventDefault();
      this.#go(found[this.chosen].href);
    }
  }

  #go(href) {
    this.dialog.close();
    if (href.startsWith("#")) location.hash = href; else location.assign(href);
  }

  render() {
    const found = this.#found();
    const option = (index) => `palette-${index}`;
    return html`<dialog class="palette" aria-label=${T.palette} @click=${(event) => { if (event.target === this.dialog) this.dialog.close(); }}>
      <input type="text" role="combobox" aria-expanded="true" aria-controls="palette-list" aria-autocomplete="list" autocomplete="off"
        aria-activedescendant=${found.length ? option(this.chosen) : ""} aria-label=${T.palette} placeholder=${T.paletteHint} .value=${this.words}
        @input=${(event) => { this.words = event.target.value; this.chosen = 0; }} @keydown=${(event) => this.#key(event, found)}>
      <ul role="listbox" id="palette-list" aria-label=${T.palette}>${found.map((each, index) => html`
        <li role="option" id=${option(index)} aria-selected=${index === this.chosen} @click=${() => this.#go(each.href)}>
          <span dir="auto">${each.text}</span>${each.note ? html`<small class="dim">${each.note}</small>` : nothing}</li>`)}</ul>
      ${found.length ? nothing : html`<p class="dim">${T.paletteNone}</p>`}
      <p class="hidden" role="status">${this.words.trim() && !this.#past.isBusy ? T.palettePast(this.#past.rows.length) : ""}</p>
    </dialog>`;
  }
}
customElements.define("cf-palette", Palette);

class Keys extends Element {
  open() { this.querySelector("dialog").showModal(); }

  render() {
    return html`<dialog aria-labelledby="keys-title" @click=${(event) => { if (event.target.localName === "dialog") event.target.close(); }}>
      <h2 id="keys-title">${T.keysTitle}</h2>
      <dl class="keys">${T.keys.map(([key, what]) => html`<dt><kbd>${key}</kbd></dt><dd>${what}</dd>`)}</dl>
      <div class="buttons"><button type="button" @click=${() => this.querySelector("dialog").close()}>${T.close}</button></div>
    </dialog>`;
  }
}
customElements.define("cf-keys", Keys);
