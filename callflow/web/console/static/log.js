// The raw events of one call: its journal, and while it is watched single events, which are not kept anywhere. Pause,
// clear, filter, and never more than 2,000 lines.
import { Element, html, nothing, repeat } from "./base.js";
import { precise } from "./format.js";
import { lastAt } from "./links.js";
import { moment, onMoment } from "./moment.js";
import { reveal } from "./transcript_frame.js";
import { eventOf } from "./story.js";
import { T } from "./texts.js";

export const MOST = 2000;

/** Let go of the oldest lines; of single events first, where they are most of it. */
function trim(lines) {
  while (lines.length > MOST) {
    const isCrowded = lines.reduce((count, each) => count + each.isSingle, 0) > MOST / 2;
    lines.splice(isCrowded ? lines.findIndex((each) => each.isSingle) : 0, 1);
  }
}

class Log extends Element {
  static properties = { paused: { state: true }, filter: { state: true }, hasSingles: { state: true }, isOver: { type: Boolean } };
  #lines = [];
  #waiting = [];
  #count = 0;
  #shown = [];
  #now = null;
  #marked;

  constructor() {
    super();
    this.filter = ""; this.paused = false; this.hasSingles = true;
    onMoment(this, () => this.#stand());
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

  /** Take an entry, a single event, or how many of those are missing; drawn with the next update. */
  take(entry) {
    const isSingle = Boolean(entry.way || entry.missed);
    const json = JSON.stringify(entry.step ?? entry.note ?? entry.event ?? {});
    const kind = entry.missed ? T.logMissed(entry.missed) : isSingle ? `${T.logWays[entry.way] ?? ""} ${entry.kind}` : eventOf(entry).event;
    const line = { key: (this.#count += 1), at: entry.at, kind, line: entry.line ?? "", json, isSingle };
    line.text = `${line.kind} ${line.line} ${json}`.toLowerCase();
    const target = this.paused ? this.#waiting : this.#lines;
    target.push(line);
    trim(target);
  }

  draw() { this.requestUpdate(); }

  toggle() {
    this.paused = !this.paused;
    if (!this.paused) {
      this.#lines = [...this.#lines, ...this.#waiting];
      trim(this.#lines);
      this.#waiting = [];
    }
  }

  #clear() { this.#lines = []; this.#waiting = []; this.requestUpdate(); }

  render() {
    const wanted = this.filter.trim().toLowerCase();
    const lines = this.hasSingles ? this.#lines : this.#lines.filter((each) => !each.isSingle);
    const shown = this.#shown = wanted ? lines.filter((each) => each.text.includes(wanted)) : lines;
    return html`
      <div class="tools">
        <button type="button" aria-pressed=${this.paused} @click=${() => this.toggle()}>${this.paused ? T.logResume : T.logPause}</button>
        <button type="button" @click=${() => this.#clear()}>${T.logClear}</button>
        <button type="button" aria-pressed=${this.hasSingles} title=${T.logSinglesHint} @click=${() => { this.hasSingles = !this.hasSingles; }}>${T.logSingles}</button>
        <input type="search" placeholder=${T.logFilter} aria-label=${T.logFilter} .value=${this.filter} @input=${(event) => { this.filter = event.target.value; }}>
        <span class="dim">${T.logLines(shown.length, this.#lines.length)}${this.#waiting.length ? html` · ${T.logWaiting(this.#waiting.length)}` : nothing}</span>
      </div>
      <p class="dim">${this.isOver ? T.logSinglesOver : T.logSinglesHint}</p>
      <div class="log" role="log" aria-live="off" aria-label=${T.log} tabindex="0">
        ${shown.length ? nothing : html`<p class="dim">${T.logEmpty}</p>`}
        ${repeat(shown, (each) => each.key, (each) => html`
          <details class=${each.isSingle ? "is-single" : ""}><summary @click=${() => moment.set(each.at, "log")}><time>${precise(each.at)}</time> <b>${each.kind}</b> <span dir="auto">${each.line}</span></summary><pre>${each.json}</pre></details>`)}
      </div>`;
  }
}
customElements.define("cf-log", Log);
