// The ladder of one call: carrier, media, agent, model and tools, and who told whom what when. Only what is in view is drawn.
import { Element, html, nothing, repeat, svg } from "./base.js";
import { exact } from "./format.js";
import { lastAt } from "./links.js";
import { moment, onMoment } from "./moment.js";
import { LANES } from "./rungs.js";
import { T } from "./texts.js";

const L = T.ladder;
const GUTTER = 62; // px for the time
const WIDE = 620; // px from which the words stand beside the lanes
const ROW = { wide: 26, narrow: 42 };
const SCALES = [2, 5, 10, 20, 40, 80, 160, 320]; // px for a second
const CHARACTER = 6.7; // px, about
const ROOM = 15; // px that a line of words needs
const SPARE = 200; // px that are drawn above and below what is in view

class Ladder extends Element {
  static properties = {
    story: { attribute: false, hasChanged: () => true }, isOver: { type: Boolean },
    /** px for a second; 0: a row for each event. */
    scale: { state: true }, filter: { state: true }, hasSingles: { state: true },
  };
  #width = 0;
  #top = 0;
  #active = -1;
  #shown = [];
  #isNear = true;
  #version = -1;
  #revealed = -1;
  #chosen = -1;
  #watch = new ResizeObserver(([entry]) => { this.#width = entry.contentRect.width; this.requestUpdate(); });

  constructor() {
    super();
    this.scale = 0; this.filter = ""; this.hasSingles = true;
    onMoment(this, () => this.#stand());
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    this.#watch.disconnect();
  }

  get #frame() { return this.querySelector(".ladder"); }

  get #isWide() { return this.#width >= WIDE; }

  firstUpdated() { this.#watch.observe(this.#frame); }

  shouldUpdate(changed) {
    const isSame = changed.size === 1 && changed.has("story") && this.#version === this.story.version && changed.get("story") === this.story;
    this.#version = this.story.version;
    return !isSame;
  }

  willUpdate() {
    const wanted = this.filter.trim().toLowerCase();
    const rungs = this.hasSingles ? this.story.rungs : this.story.rungs.filter((each) => !each.isSingle);
    this.#shown = wanted ? rungs.filter((each) => `${each.name} ${each.words}`.toLowerCase().includes(wanted)) : rungs;
    this.#active = moment.at === null ? -1 : lastAt(this.#shown, moment.at);
    if (moment.source !== "ladder") this.#chosen = -1;
    else if (this.#shown[this.#chosen]?.at === this.#shown[this.#active]?.at) this.#active = this.#chosen; // of several at one moment
  }

  updated() {
    if (this.#active !== this.#revealed) {
      this.#revealed = this.#active;
      this.#reveal();
    }
    if (moment.at === null && !this.isOver && this.#isNear) this.#frame.scrollTop = this.#frame.scrollHeight;
  }

  #stand() {
    const active = moment.at === null ? -1 : lastAt(this.#shown, moment.at);
    if (active === this.#active && !this.scale) return;
    this.requestUpdate();
  }

  get #row() { return this.#isWide ? ROW.wide : ROW.narrow; }

  #y(index) {
    const rung = this.#shown[index];
    return this.scale ? (rung.at - this.#shown[0].at) * this.scale + this.#row / 2 : (index + 0.5) * this.#row;
  }

  get #height() { return this.#shown.length ? this.#y(this.#shown.length - 1) + this.#row / 2 + (this.scale ? this.#row : 0) : this.#row; }

  #reveal() {
    if (this.#active < 0) return;
    const [y, frame] = [this.#y(this.#active), this.#frame];
    if (y < frame.scrollTop + this.#row || y > frame.scrollTop + frame.clientHeight - this.#row) frame.scrollTop = y - frame.clientHeight / 2;
  }

  #scrolled = ({ target }) => {
    this.#isNear = target.scrollHeight - target.scrollTop - target.clientHeight < 40;
    if (Math.abs(target.scrollTop - this.#top) < SPARE / 2) return;
    this.#top = target.scrollTop;
    this.requestUpdate();
  };

  /** The scale at which a short call fills the frame. */
  #fitting() {
    const lasted = (this.#shown.at(-1)?.at ?? 0) - (this.#shown[0]?.at ?? 0);
    return SCALES.find((scale) => scale >= 40 && scale * lasted > this.#frame.clientHeight) ?? SCALES.at(-1);
  }

  #zoom(by) {
    const at = Math.min(SCALES.length, Math.max(0, (this.scale ? SCALES.indexOf(this.scale) + 1 : 0) + by));
    this.scale = at ? SCALES[at - 1] : 0;
    this.updateComplete.then(() => this.#reveal());
  }

  #key(event) {
    const last = this.#shown.length - 1;
    const to = { ArrowDown: this.#active + 1, ArrowUp: this.#active < 0 ? last : this.#active - 1, Home: 0, End: last, PageDown: this.#active + 10, PageUp: this.#active - 10 }[event.key];
    if (event.key === "+" || event.key === "-") this.#zoom(event.key === "+" ? 1 : -1);
    else if (to !== undefined && last >= 0) this.#go(Math.min(last, Math.max(0, to)));
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  /** Stand at a rung. Of several at the same moment it is this one. */
  #go(index) {
    moment.set(this.#shown[index].at, "ladder");
    this.#chosen = index;
    this.requestUpdate();
  }

  /** The places of the first and behind the last rung that are drawn. */
  #range() {
    const frame = this.#frame;
    if (!frame) return [0, 0];
    this.#top = frame.scrollTop;
    const [above, below] = [this.#top - SPARE, this.#top + frame.clientHeight + SPARE];
    if (!this.scale) return [Math.max(0, Math.floor(above / this.#row)), Math.min(this.#shown.length, Math.ceil(below / this.#row))];
    const first = this.#shown[0]?.at ?? 0;
    return [Math.max(0, lastAt(this.#shown, first + above / this.scale)), lastAt(this.#shown, first + below / this.scale) + 1];
  }

  #x(lane) { return GUTTER + ((this.#isWide ? 84 * LANES.length : this.#width - GUTTER) / LANES.length) * (lane + 0.5); }

  #rung(rung, index, hasWords, hasTime) {
    const y = this.#y(index);
    const [from, to] = [this.#x(rung.from), this.#x(rung.to)];
    const arrow = y - (this.#isWide ? 0 : this.#row / 4);
    const back = Math.sign(to - from) * 7;
    const left = this.#isWide ? GUTTER + 84 * LANES.length + 8 : 4;
    const most = Math.max(4, Math.floor((this.#width - left - 8) / CHARACTER));
    const words = rung.moved ? `${rung.words} → ${T.states[rung.moved] ?? rung.moved}` : rung.words;
    const told = `${exact(rung.at)} ${T.ladder.lanes[LANES[rung.from]]}${rung.from === rung.to ? "" : ` → ${T.ladder.lanes[LANES[rung.to]]}`}: ${words}`;
    return svg`<g role="option" id=${`rung-${rung.key}`} class="rung ${rung.isBad ? "is-bad" : ""} ${rung.isInert ? "is-inert" : ""} ${rung.isSingle ? "is-single" : ""}" aria-label=${told}
        aria-selected=${index === this.#active} aria-setsize=${this.#shown.length} aria-posinset=${index + 1} @click=${() => this.#go(index)}>
      <title>${told}</title>
      <rect class="ground" x="0" y=${y - (this.scale ? 6 : this.#row / 2)} width=${Math.max(0, this.#width)} height=${this.scale ? 12 : this.#row}></rect>
      ${hasTime ? svg`<text class="time" x="4" y=${arrow + 4}>${exact(rung.at)}</text>` : nothing}
      ${rung.from === rung.to ? svg`<circle cx=${from} cy=${arrow} r="4"></circle>`
        : svg`<path class="arrow" d=${`M${from} ${arrow}H${to - back}`}></path><path class="head" d=${`M${to} ${arrow}l${-back * 1.2} -4.5v9z`}></path>`}
      ${hasWords ? svg`<text class="told" x=${left} y=${y + (this.#isWide ? 4 : this.#row / 2 - 6)}>${words.length > most ? `${words.slice(0, most - 1)}…` : words}</text>` : nothing}</g>`;
  }

  #drawn() {
    const [from, to] = this.#range();
    const drawn = [];
    let wordsAt = -Infinity;
    for (let index = from; index < to; index += 1) {
      const y = this.#y(index);
      const hasRoom = !this.scale || y - wordsAt >= (this.#isWide ? ROOM : ROW.narrow) || index === this.#active;
      if (hasRoom) wordsAt = y;
      const isFirst = index === 0 || this.#shown[index - 1].at !== this.#shown[index].at;
      drawn.push({ rung: this.#shown[index], index, hasWords: hasRoom, hasTime: this.scale ? hasRoom : isFirst || index === from });
    }
    return drawn;
  }

  render() {
    const height = this.#height;
    const lanes = LANES.map((_, lane) => this.#x(lane));
    const active = this.#shown[this.#active];
    const line = moment.at !== null && this.scale && this.#shown.length ? (moment.at - this.#shown[0].at) * this.scale + this.#row / 2 : null;
    return html`
      <div class="tools">
        <button type="button" aria-pressed=${!this.scale} @click=${() => { this.scale = 0; }}>${L.byEvent}</button>
        <button type="button" aria-pressed=${Boolean(this.scale)} @click=${() => { this.scale ||= this.#fitting(); }}>${L.byTime}</button>
        <button type="button" aria-label=${L.less} title=${L.less} ?disabled=${!this.scale} @click=${() => this.#zoom(-1)}>−</button>
        <button type="button" aria-label=${L.more} title=${L.more} ?disabled=${this.scale === SCALES.at(-1)} @click=${() => this.#zoom(1)}>+</button>
        ${this.story.singles ? html`<button type="button" aria-pressed=${this.hasSingles} title=${T.logSinglesHint} @click=${() => { this.hasSingles = !this.hasSingles; }}>${T.logSingles}</button>` : nothing}
        <input type="search" placeholder=${T.logFilter} aria-label=${L.filter} .value=${this.filter} @input=${(event) => { this.filter = event.target.value; }}>
      </div>
      <svg class="lanes" aria-hidden="true" height="20" width=${Math.max(0, this.#width)}>${LANES.map((name, lane) => svg`<text x=${lanes[lane]} y="14">${L.lanes[name]}</text>`)}</svg>
      <div class="ladder" role=${this.#shown.length ? "listbox" : "group"} tabindex="0" aria-label=${L.title} aria-activedescendant=${active ? `rung-${active.key}` : nothing}
        @scroll=${this.#scrolled} @keydown=${(event) => this.#key(event)}>
        <svg role="none" width=${Math.max(0, this.#width)} height=${height}>
          ${lanes.map((x) => svg`<path class="lane" d=${`M${x} 0V${height}`}></path>`)}
          ${line === null ? nothing : svg`<path class="moment" d=${`M0 ${line}H${this.#x(LANES.length - 0.5)}`}></path>`}
          ${repeat(this.#drawn(), ({ rung }) => rung.key, (each) => this.#rung(each.rung, each.index, each.hasWords, each.hasTime))}
        </svg>
        ${this.#shown.length ? nothing : html`<p class="dim">${L.empty}</p>`}
      </div>
      <p class="told dim" dir="auto">${active ? `${exact(active.at)} ${active.words}` : L.hint}</p>`;
  }
}
customElements.define("cf-ladder", Ladder);
