// The raw events of one call: pause, clear, filter, and never more than 2,000 lines.
import { Element, html, nothing, repeat } from "./base.js";
import { precise } from "./format.js";
import { lastAt } from "./links.js";
import { moment } from "./moment.js";
import { reveal } from "./said.js";
import { eventOf } from "./story.js";
import { T } from "./texts.js";

export const MOST = 2000;

class Log extends Element {
  static properties = { paused: { state: true }, filter: { state: true } };
  #lines = [];
  #waiting = [];
  #count = 0;
  #shown = [];
  #now = null;
  #marked;
  #moved = () => this.#stand();

  constructor() { super(); this.filter = ""; this.paused = false; }

  connectedCallback() {
    super.connectedCallback();
    moment.addEventListener("change", this.#moved);
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    moment.removeEventListener("change", this.#moved);
  }

  updated() { this.#stand(); }

  /** Whether this line of what is shown is marked already. */
  #isSame(index) {
    const key = this.#shown[index]?.key;
    const isSame = key === this.#marked && (key === undefined ? !this.#now : this.#now?.isConnected);
    this.#marked = key;
    return isSame;
  }

  /** Mark the last line at or before the moment. */
  #stand() {
    const frame = this.querySelector(".log");
    const index = moment.at === null ? -1 : lastAt(this.#shown, moment.at);
    if (this.#isSame(index)) return;
    const now = index < 0 ? null : frame.querySelectorAll(":scope > details")[index] ?? null;
    if (now === this.#now) return;
    this.#now?.removeAttribute("aria-current");
    now?.setAttribute("aria-current", "true");
    this.#now = now;
    if (now && moment.source !== "log") reveal(frame, now);
  }

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
    const shown = this.#shown = wanted ? this.#lines.filter((each) => each.text.includes(wanted)) : this.#lines;
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
          <details><summary @click=${() => moment.set(each.at, "log")}><time>${precise(each.at)}</time> <b>${each.kind}</b> <span dir="auto">${each.line}</span></summary><pre>${each.json}</pre></details>`)}
      </div>`;
  }
}
customElements.define("cf-log", Log);
