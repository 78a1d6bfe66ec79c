// The bar of the moment: where the page stands, the event before and after, and a link to it.
import { Element, announce, html, nothing } from "./base.js";
import { precise } from "./format.js";
import { lastAt, placeOf } from "./links.js";
import { moment, onMoment } from "./moment.js";
import { T } from "./texts.js";

const M = T.moment;
const CALM = 400; // ms after which the address follows the moment

class Cursor extends Element {
  static properties = { call: {}, beside: {}, story: { attribute: false, hasChanged: () => true }, length: { attribute: false }, isOver: { type: Boolean }, said: { state: true } };
  #due = 0;

  constructor() {
    super();
    this.length = 0; this.beside = ""; this.said = "";
    onMoment(this, () => this.#stand());
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    clearTimeout(this.#due);
  }

  updated() { this.#show(); }

  #stand() {
    this.#show();
    if (this.said) this.said = "";
    // While sound plays the address stands still: browsers bound how often it may change.
    if (moment.source === "sound" || moment.source === "address") return;
    clearTimeout(this.#due);
    this.#due = setTimeout(() => history.replaceState(history.state, "", placeOf(this.call, moment.at, this.beside)), CALM);
  }

  #show() {
    const [place, slider] = [this.querySelector(".at"), this.querySelector("input")];
    if (!place) return;
    const at = moment.at;
    const text = at === null ? (this.isOver ? M.whole : M.newest) : precise(at);
    if (place.textContent !== text) place.textContent = text;
    slider.value = at ?? (this.isOver ? 0 : slider.max);
    slider.setAttribute("aria-valuetext", text);
    this.querySelector(".follow").disabled = this.querySelector(".copy").disabled = at === null;
  }

  /** Go so many events further, or back. */
  step(by) {
    const rungs = this.story.rungs.filter((each) => !each.isSingle);
    if (!rungs.length) return;
    const at = moment.at;
    let index = at === null ? (by > 0 ? (this.isOver ? -1 : rungs.length - 1) : rungs.length) : lastAt(rungs, at);
    if (by < 0 && at !== null && index >= 0 && rungs[index].at < at - 0.001) index += 1; // back to the one just passed
    const from = rungs[Math.min(index, rungs.length - 1)]?.at;
    do index += by; while (rungs[index] && at !== null && rungs[index].at === from);
    const next = rungs[Math.min(rungs.length - 1, Math.max(0, index))];
    moment.set(next.at, "keys");
    announce(`${precise(next.at)} ${next.words}`);
  }

  async #copy() {
    const link = new URL(placeOf(this.call, moment.at, this.beside), location.href).href;
    try {
      await navigator.clipboard.writeText(link);
      this.said = M.copied;
    } catch {
      history.replaceState(history.state, "", link);
      this.said = M.inAddress;
    }
    announce(this.said);
  }

  render() {
    return html`<div class="cursor" role="group" aria-label=${M.title}>
      <button type="button" aria-label=${M.before} title=${M.before} @click=${() => this.step(-1)}>‹</button>
      <button type="button" aria-label=${M.after} title=${M.after} @click=${() => this.step(1)}>›</button>
      <b class="at"></b>
      <input type="range" min="0" max=${Math.max(1, this.length)} step="0.1" aria-label=${M.title} @input=${(event) => moment.set(Number(event.target.value), "slider")}>
      <button type="button" class="follow" @click=${() => moment.set(null, "cursor")}>${this.isOver ? M.leave : M.follow}</button>
      <button type="button" class="copy" title=${M.copyHint} aria-label=${M.copyHint} @click=${() => this.#copy()}>${M.copy}</button>
      ${this.said ? html`<small class="dim">${this.said}</small>` : nothing}
    </div>`;
  }
}
customElements.define("cf-cursor", Cursor);
