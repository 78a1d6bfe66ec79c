// What happened in a call, in words: what went wrong on the way, why it ended, and whether it would be decided so again.
import { get } from "./api.js";
import { Element, html, nothing } from "./base.js";
import { precise } from "./format.js";
import { inLines } from "./problems.js";
import { decoded, placeOf } from "./links.js";
import { moment } from "./moment.js";
import { T } from "./texts.js";

const H = T.happened;
const V = T.verdict;

class CallSummary extends Element {
  static properties = { call: {}, story: { attribute: false, hasChanged: () => true }, isOver: { type: Boolean }, cause: {}, verdict: { state: true }, refused: { state: true }, said: { state: true } };

  willUpdate(changed) {
    if (changed.has("call")) this.verdict = this.refused = this.said = null;
    if (this.isOver && !this.verdict && !this.refused) this.#ask();
  }

  async #ask() {
    this.refused = " "; // it is asked once
    try {
      this.verdict = await get(`/api/calls/${encodeURIComponent(this.call)}/replay`);
      this.refused = "";
    } catch (error) {
      this.refused = error.message;
    }
  }

  async #copy(found) {
    try {
      await navigator.clipboard.writeText(inLines(found));
      this.said = H.copied;
    } catch { this.said = H.notCopied; }
  }

  #beside = (event) => {
    event.preventDefault();
    const other = event.target.elements.other.value.trim();
    const id = /calls\/([^?#/]+)/.exec(other)?.[1];
    location.hash = placeOf(this.call, moment.at, id ? decoded(id) : other);
  };

  #verdict() {
    if (!this.verdict) return this.refused?.trim() ? html`<p class="dim">${V.unknown} ${this.refused}</p>` : nothing;
    const { verdict, steps, differences } = this.verdict;
    return html`<p class=${verdict === "same" ? "dim" : ""}><b>${V.title}</b> ${verdict === "same" ? V.same(steps) : V.other(this.verdict.differ, steps)}</p>
      ${differences.length ? html`<details class="more"><summary>${V.show}</summary><ol class="lines">${differences.map((each) => html`<li>
        <button type="button" class="at" @click=${() => moment.set(each.at, "replay")}>${precise(each.at)}</button> ${each.event} · ${each.what}
        <pre>${V.recorded} ${JSON.stringify(each.recorded)}\n${V.replayed} ${JSON.stringify(each.replayed)}</pre></li>`)}</ol></details>` : nothing}`;
  }

  render() {
    const found = this.story.happened.told(this.cause, this.isOver);
    const troubles = found.filter((each) => !each.isEnd);
    const path = `/api/calls/${encodeURIComponent(this.call)}`;
    return html`
      ${troubles.length ? nothing : html`<p class="dim">${this.isOver ? H.well : H.wellSoFar}</p>`}
      ${found.length ? html`<ol class="happened">${found.map((each) => html`<li data-tone=${each.tone || (each.isEnd ? "end" : "")}>
        <button type="button" class="at" @click=${() => moment.set(each.at, "account")}>${precise(each.at)}</button><span dir="auto">${each.text}</span></li>`)}</ol>` : nothing}
      ${this.isOver ? html`${this.#verdict()}
        <p class="buttons"><a class="button" href=${path} download=${`call-${this.call}.json`}>${V.exported}</a>
          ${troubles.length ? html`<button type="button" @click=${() => this.#copy(found)}>${H.copy}</button>` : nothing}<small class="dim">${this.said}</small></p>` : nothing}
      <form class="buttons" @submit=${this.#beside}><input class="grow" name="other" autocomplete="off" required placeholder=${T.moment.besideHint} aria-label=${T.moment.beside}><button>${T.moment.compare}</button></form>`;
  }
}
customElements.define("cf-call-summary", CallSummary);
