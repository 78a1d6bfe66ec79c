// A link with which somebody without a token reads this one call: made, copied, listed, revoked.
import { get, post, send } from "./api.js";
import { Element, announce, html, nothing } from "./base.js";
import { at, fully } from "./format.js";
import { named } from "./named.js";
import { trouble } from "./form_page.js";
import { T } from "./texts.js";

const S = T.share;
const DAYS = [1, 2, 3, 7];

class Share extends Element {
  static properties = {
    call: {}, mayAct: { type: Boolean }, link: { state: true }, links: { state: true }, failed: { state: true },
    said: { state: true }, busy: { state: true },
  };

  willUpdate(changed) {
    if (!changed.has("call")) return;
    this.link = this.said = "";
    this.links = this.failed = null;
  }

  get #path() { return `/api/calls/${encodeURIComponent(this.call)}`; }

  #open = () => {
    this.link = this.said = "";
    this.failed = null;
    this.querySelector("dialog").showModal();
    this.#act(() => this.#list());
  };

  async #list() { this.links = await get(`${this.#path}/shares`); }

  async #act(work, said = "") {
    this.busy = true;
    this.failed = null;
    this.said = "";
    try {
      await work();
      this.said = said;
      if (said) announce(said);
    } catch (error) {
      this.failed = named(error, { days: S.days });
      announce(error.message);
    } finally {
      this.busy = false;
    }
  }

  #make = async (event) => {
    event.preventDefault();
    const days = Number(event.target.elements.days.value);
    await this.#act(async () => {
      this.link = new URL((await post(`${this.#path}/share`, { days })).url, location.origin).href;
      await this.#list();
    }, S.made);
    await this.updateComplete;
    this.querySelector("input[name=link]")?.select();
  };

  #copy = async () => {
    const field = this.querySelector("input[name=link]");
    field.select();
    try {
      await navigator.clipboard.writeText(this.link);
      this.said = S.copied;
    } catch {
      this.said = S.byHand;
    }
    announce(this.said);
  };

  #revoke(id) {
    this.#act(async () => {
      await send("DELETE", `/api/shares/${encodeURIComponent(id)}`, { body: undefined });
      if (id === this.#newest) this.link = "";
      await this.#list();
    }, S.revoked);
  }

  get #newest() { return this.link.split("/").at(-1).split("-")[0]; }

  #one(each) {
    const until = html`<time title=${fully(each.expires)}>${at(each.expires)}</time>`;
    return html`<li><span>${S.until} ${until} <small class="dim">${S.by(each.by)}</small></span>
      <button type="button" ?disabled=${this.busy} aria-label=${`${S.revoke}: ${S.until} ${at(each.expires)}`} @click=${() => this.#revoke(each.id)}>${S.revoke}</button></li>`;
  }

  render() {
    if (!this.mayAct) return nothing;
    return html`<button type="button" class="share" @click=${this.#open}>${S.share}</button>
      <dialog class="share-dialog" aria-labelledby="share-title">
        <h2 id="share-title">${S.title}</h2>
        <p>${S.what}</p>
        <form class="buttons" @submit=${this.#make}>
          <label>${S.days} <select name="days">${DAYS.map((days) => html`<option value=${days}>${S.dayOf(days)}</option>`)}</select></label>
          <button class="primary" ?disabled=${this.busy}>${S.make}</button>
        </form>
        ${this.link ? html`<p class="buttons"><input name="link" class="grow" readonly aria-label=${S.link} .value=${this.link} @focus=${(event) => event.target.select()}>
          <button type="button" @click=${this.#copy}>${S.copy}</button></p>` : nothing}
        <p class="dim">${this.said || nothing}</p>
        ${trouble(this.failed)}
        ${this.links?.length ? html`<h3>${S.present}</h3><ul class="links">${this.links.map((each) => this.#one(each))}</ul>` : nothing}
        <p class="buttons"><button type="button" @click=${() => this.querySelector("dialog").close()}>${T.close}</button></p>
      </dialog>`;
  }
}
customElements.define("cf-share", Share);
