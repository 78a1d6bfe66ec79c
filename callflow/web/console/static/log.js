// The raw events of one call: pause, clear, filter, and never more than 2,000 lines.
import { Element, html, nothing, repeat } from "./base.js";
import { precise } from "./format.js";
import { eventOf } from "./story.js";
import { T } from "./texts.js";

export const MOST = 2000;

class Log extends Element {
  static properties = { paused: { state: true }, filter: { state: true } };
  #lines = [];
  #waiting = [];
  #count = 0;

  constructor() { super(); this.filter = ""; this.paused = false; }

  /** Take an entry; drawn with the next update. */
  take(entry) {
    const json = JSON.stringify(entry.step ?? entry.note ?? {});
    const line = { key: (this.#count += 1), at: entry.at, kind: eventOf(entry).event, line: entry.line ?? "", json };
    line.text = `${line.kind} ${line.line} ${json}`.toLowerCase();
    const target = this.paused ? this.#waiting : this.#lines;
    target.push(line);
    if (target.length > MOST) target.splice(0, target.length - MOST);
  }

  draw() { this.requestUpdate(); }

  toggle() {
    this.paused = !this.paused;
    if (!this.paused) {
      this.#lines = [...this.#lines, ...this.#waiting].slice(-MOST);
      this.#waiting = [];
    }
  }

  #clear() { this.#lines = []; this.#waiting = []; this.requestUpdate(); }

  render() {
    const wanted = this.filter.trim().toLowerCase();
    const shown = wanted ? this.#lines.filter((each) => each.text.includes(wanted)) : this.#lines;
    return html`
      <div class="tools">
        <button type="button" aria-pressed=${this.paused} @click=${() => this.toggle()}>${this.paused ? T.logResume : T.logPause}</button>
        <button type="button" @click=${() => this.#clear()}>${T.logClear}</button>
        <input type="search" placeholder=${T.logFilter} aria-label=${T.logFilter} .value=${this.filter} @input=${(event) => { this.filter = event.target.value; }}>
        <span class="dim">${T.logLines(shown.length, this.#lines.length)}${this.#waiting.length ? html` · ${T.logWaiting(this.#waiting.length)}` : nothing}</span>
      </div>
      <div class="log" role="log" aria-live="off" aria-label=${T.log} tabindex="0">
        ${shown.length ? nothing : html`<p class="dim">${T.logEmpty}</p>`}
        ${repeat(shown, (each) => each.key, (each) => html`
          <details><summary><time>${precise(each.at)}</time> <b>${each.kind}</b> <span dir="auto">${each.line}</span></summary><pre>${each.json}</pre></details>`)}
      </div>`;
  }
}
customElements.define("cf-log", Log);
