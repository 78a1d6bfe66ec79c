// Another call beside the page's own, on the same clock.
import { follow } from "./api.js";
import { Element, callAddress, html, nothing } from "./base.js";
import { duration } from "./format.js";
import { placeOf } from "./links.js";
import { moment } from "./moment.js";
import { Story } from "./story.js";
import { T } from "./texts.js";
import "./transcript_frame.js";

const B = T.beside;

class Comparison extends Element {
  static properties = { call: {}, own: { attribute: false }, state: { state: true }, sentence: { state: true } };
  #stream = null;
  #due = 0;

  constructor() { super(); this.story = new Story(); this.state = "connecting"; }

  disconnectedCallback() {
    super.disconnectedCallback();
    this.#stream?.close();
    this.#stream = null;
  }

  willUpdate(changed) {
    if (!changed.has("call")) return;
    this.#stream?.close();
    this.story = new Story();
    const path = `/api/live/${encodeURIComponent(this.call)}/events`;
    this.#stream = follow(() => (this.story.seq ? `${path}?after=${this.story.seq}` : path), {
      entry: (entry, id) => { if (this.story.take({ ...entry, seq: entry.seq ?? Number(id) })) this.#soon(); },
      partial: (data) => { this.story.partial(data, (this.story.items.at(-1)?.at ?? 0) + 0.001); this.#soon(); },
      over: (data) => { this.#stream?.close(); this.story.end(data); this.state = "over"; this.#soon(); },
    }, (state, sentence = "") => { if (!this.story.over) { this.state = state; this.sentence = sentence; } });
  }

  #soon() {
    this.#due ||= requestAnimationFrame(() => { this.#due = 0; this.requestUpdate(); });
  }

  /** Seconds by which this call began later than the page's own, and whether both were live at some time. */
  #apart() {
    const [one, two] = [this.own, this.story];
    if (one.began === null || two.began === null) return [0, true];
    const later = two.began - one.began;
    const last = (story) => (story.over ? story.rungs.at(-1)?.at ?? 0 : Infinity);
    return [later, later < last(one) && -later < last(two)];
  }

  render() {
    const { story } = this;
    const [later, isTogether] = this.#apart();
    const { from, to } = story.facts;
    if (this.state === "refused" && !story.items.length) {
      return html`<section class="panel"><h2>${B.title}</h2><p class="failed">${B.missing} ${this.sentence}</p><p><a href=${placeOf(this.own.call ?? "", moment.at)}>${B.close}</a></p></section>`;
    }
    return html`<section class="panel" aria-labelledby="beside-title">
      <header class="panel-head"><h2 id="beside-title"><a href=${callAddress(this.call)}><span dir="ltr">${from || T.call}</span> → <span dir="ltr">${to || ""}</span></a></h2>
        <small class="dim">${B.later(later)}${story.over ? `, ${duration(story.facts.duration)}` : ""}. ${isTogether ? B.clock : B.apart}</small>
        <a href=${placeOf(this.own.call ?? "", moment.at)}>${B.close}</a></header>
      <cf-transcript-frame .story=${story} .isOver=${Boolean(story.over)} .isLoading=${this.state === "connecting"} .offset=${isTogether ? -later : 0} .toBegin=${Boolean(story.over)}></cf-transcript-frame>
      ${story.path.length ? html`<p class="dim">${story.path.map((each) => T.states[each.state] ?? each.state).join(" → ")}</p>` : nothing}
    </section>`;
  }
}
customElements.define("cf-compare", Comparison);
