// How long the caller waited for each answer, part by part: a bar each, all on one scale.
import { Element, html, nothing, repeat, svg } from "./base.js";
import { precise } from "./format.js";
import { lastAt } from "./links.js";
import { moment, onMoment } from "./moment.js";
import { T } from "./texts.js";
import { PARTS } from "./transcript.js";

const W = T.waits;
const STEPS = [200, 500, 1000, 2000, 5000, 10000, 30000]; // ms between two lines of the scale
const WIDTH = 1000;

/** The value below which this part of the sorted figures lies. */
export const quantile = (sorted, part) => sorted[Math.min(sorted.length - 1, Math.ceil(part * sorted.length) - 1)];

class Waterfalls extends Element {
  static properties = { story: { attribute: false, hasChanged: () => true } };
  #count = -1;
  #now = null;

  constructor() {
    super();
    onMoment(this, () => this.#stand());
  }

  shouldUpdate() {
    const isNew = this.#count !== this.story.waits.length;
    this.#count = this.story.waits.length;
    return isNew;
  }

  updated() { this.#stand(); }

  #stand() {
    const index = moment.at === null ? -1 : lastAt(this.story.waits, moment.at, (wait) => wait.from);
    const now = index < 0 ? null : this.querySelectorAll(".waits button")[index];
    if (now === this.#now) return;
    this.#now?.removeAttribute("aria-current");
    now?.setAttribute("aria-current", "true");
    this.#now = now;
    const frame = this.querySelector(".waits");
    if (!now || moment.source === "waits") return;
    if (now.offsetTop < frame.scrollTop || now.offsetTop + now.offsetHeight > frame.scrollTop + frame.clientHeight) frame.scrollTop = now.offsetTop - frame.clientHeight / 2;
  }

  #bar(wait, most, step) {
    let from = 0;
    const of = (ms) => (ms * WIDTH) / most;
    const lines = Array.from({ length: Math.floor(most / step) }, (_, index) => of(step * (index + 1)));
    const parts = PARTS.map((name) => {
      const [x, width] = [of(from), of(wait[name] ?? 0)];
      from += wait[name] ?? 0;
      return svg`<rect class=${name.replace("_ms", "")} x=${x} y="4" width=${width} height="14"></rect>`;
    });
    return html`<svg viewBox="0 0 ${WIDTH} 22" preserveAspectRatio="none" aria-hidden="true">
      ${lines.map((x) => svg`<path class="line" d=${`M${x} 0V22`}></path>`)}${parts}
      ${wait.filler_ms ? svg`<path class="filler" d=${`M${of(wait.filler_ms)} 0V22`}></path>` : nothing}</svg>`;
  }

  render() {
    const { waits } = this.story;
    if (!waits.length) return html`<p class="dim">${W.none}</p>`;
    const totals = waits.map((wait) => wait.total_ms).sort((a, b) => a - b);
    const most = Math.max(1, totals.at(-1), ...waits.map((wait) => PARTS.reduce((sum, name) => sum + (wait[name] ?? 0), 0)));
    const step = STEPS.find((each) => most / each <= 6) ?? most;
    const told = (wait) => PARTS.map((name) => `${T.parts[name]} ${wait[name] ?? 0} ms`).join(", ") + (wait.filler_ms ? `, ${W.filler(wait.filler_ms)}` : "");
    return html`
      <p class="legend">${PARTS.map((name) => html`<span class=${`key ${name.replace("_ms", "")}`}>${T.parts[name]}</span>`)}
        <span class="dim">${W.figures(waits.length, quantile(totals, 0.5), quantile(totals, 0.95))} · ${W.scale(step)}</span></p>
      <ol class="waits">${repeat(waits, (_, index) => index, (wait) => html`<li>
        <button type="button" title=${told(wait)} aria-label=${`${precise(wait.from)}, ${T.answerAfter(wait.total_ms)}: ${told(wait)}`} @click=${() => moment.set(wait.from, "waits")}>
          <time>${precise(wait.from)}</time>${this.#bar(wait, most, step)}<span>${T.latencyOf(wait.total_ms)}</span>
          <small class="dim">${PARTS.map((name) => Math.round(wait[name] ?? 0)).join(" + ")}</small></button></li>`)}</ol>`;
  }
}
customElements.define("cf-waterfalls", Waterfalls);
