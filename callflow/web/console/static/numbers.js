// The numbers of the carriers' accounts: where they lead, bring one here, put it back.
import { get, post } from "./api.js";
import { html, nothing } from "./base.js";
import { at } from "./format.js";
import { FormPage, confirmed, may, trouble } from "./form_page.js";
import { T } from "./texts.js";

const N = T.numbers;

class Numbers extends FormPage {
  get heading() { return T.pages.numbers; }

  load() { return get("/api/numbers"); }

  /** Point a number here, or undo that; what else it changes is asked first. */
  async #change(one, way) {
    const path = `/api/numbers/${encodeURIComponent(one.number)}/${way}`;
    const told = await this.act(() => post(path, { carrier: one.carrier }), N.done[way](one.number));
    if (!told && this.refused?.status === 409) {
      const words = this.refused.problems?.length ? this.refused.problems : [this.refused.message];
      if (await confirmed(N.sure[way](one.number), words, [["yes", N.allTheSame, "danger"]])) {
        await this.act(() => post(path, { carrier: one.carrier, yes: true }), N.done[way](one.number));
      }
    }
    this.reload();
  }

  async #point(one) {
    const words = [N.leadsNow(one.leadsTo || N.nowhere), N.willLead(this.data.address)];
    if (await confirmed(N.sure.point(one.number), words, [["yes", N.point.replace("…", ""), "primary"]])) this.#change(one, "point");
  }

  draw() {
    const { address, numbers, problems } = this.data;
    const mayChange = may(this.me, "configure");
    return html`<section class="panel" aria-labelledby="numbers-title">
      <header class="panel-head"><h1 id="numbers-title">${this.heading}</h1>
        <p class="dim">${address ? N.here(address) : N.noAddress} <button type="button" @click=${() => this.reload()}>${N.again}</button></p></header>
      ${this.failed ? trouble(this.failed) : nothing}
      ${problems.map((each) => html`<p class="warning" dir="auto">${each}</p>`)}
      ${this.outcome()}
      ${mayChange ? nothing : html`<p class="dim">${T.actsConfigure}</p>`}
      ${numbers.length ? html`<div class="table"><table>
        <thead><tr>${Object.values(N.columns).map((each) => html`<th scope="col">${each}</th>`)}</tr></thead>
        <tbody id="rows">${numbers.map((each) => html`<tr>
          <td data-name=${N.columns.number}><b dir="ltr">${each.number}</b> <small class="dim" dir="auto">${each.name ?? ""}</small></td>
          <td data-name=${N.columns.carrier}>${each.carrier}</td>
          <td data-name=${N.columns.leadsTo} class="wide" dir="auto">${each.here ? html`<span class="chip" data-state="streaming"><i class="dot" aria-hidden="true"></i>${N.isHere}</span>` : each.leadsTo || N.nowhere}
            ${each.overrides.map((line) => html`<small class="warning">${N.overridden(line)}</small> `)}
            ${each.lacks.map((line) => html`<small class="warning">${N.lacks(line)}</small> `)}</td>
          <td data-name=${N.columns.acts}>${mayChange ? html`
            ${each.here || !address ? nothing : html`<button type="button" ?disabled=${this.busy} @click=${() => this.#point(each)}>${N.point}</button>`}
            ${each.undo ? html`<button type="button" ?disabled=${this.busy} title=${N.undoOf(at(each.undo.at))} @click=${() => this.#change(each, "undo")}>${N.undo}</button>` : nothing}` : nothing}</td></tr>`)}</tbody></table></div>`
        : html`<div class="empty"><p>${N.none}</p><p class="dim">${N.noneNext}</p></div>`}
    </section>`;
  }
}
customElements.define("cf-numbers", Numbers);
