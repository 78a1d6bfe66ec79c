// Calls that were deleted here and can still be brought back: for the whole page, so that a change of view loses none.
import { ask, get, post } from "./api.js";
import { Element, announce, html, nothing } from "./base.js";
import { at } from "./format.js";
import { T } from "./texts.js";

class Deletions extends EventTarget {
  #calls = [];
  #timer = 0;

  get calls() { return this.#calls; }

  /** Delete a call. Throws Refused. */
  async remove(id, name) {
    const told = await (await ask(`/api/calls/${encodeURIComponent(id)}`, { method: "DELETE" })).json();
    this.#add(told.id, name, told.undo_seconds);
    announce(T.deleted(name));
    this.#change("deleted");
  }

  /** Those that were deleted before this page was loaded, by anybody. */
  async find() {
    try {
      for (const each of await get("/api/calls/deleted")) this.#add(each.id, T.deletedName(at(each.began), each.caller || T.unknown), each.undo_seconds);
      this.#change("change");
    } catch { /* then they are deleted; the page says nothing of it */ }
  }

  #add(id, name, seconds) {
    this.#calls = [...this.#calls.filter((each) => each.id !== id), { id, name, until: performance.now() + seconds * 1000 }];
    this.#timer ||= setInterval(() => this.#tick(), 1000);
  }

  /** Undo that. Throws Refused. */
  async undo(id) {
    await post(`/api/calls/${encodeURIComponent(id)}/restore`);
    this.forget(id);
    announce(T.restored);
    this.#change("restored");
  }

  forget(id) {
    this.#calls = this.#calls.filter((each) => each.id !== id);
    this.#change("change");
  }

  #tick() {
    this.#calls = this.#calls.filter((each) => each.until > performance.now());
    if (!this.#calls.length) { clearInterval(this.#timer); this.#timer = 0; }
    this.#change("change");
  }

  #change(type) {
    this.dispatchEvent(new Event(type));
    if (type !== "change") this.dispatchEvent(new Event("change"));
  }
}

export const deletions = new Deletions();

class Deleted extends Element {
  static properties = { me: { attribute: false }, failed: { state: true } };
  #again = () => this.requestUpdate();

  connectedCallback() { super.connectedCallback(); deletions.addEventListener("change", this.#again); }

  disconnectedCallback() { super.disconnectedCallback(); deletions.removeEventListener("change", this.#again); }

  willUpdate(changed) { if (changed.has("me") && this.me?.role === "configure" && !this.me.business) deletions.find(); }

  async #undo(id) {
    this.failed = "";
    try {
      await deletions.undo(id);
    } catch (error) {
      this.failed = error.message;
      if (error.status === 404) deletions.forget(id);
      announce(error.message);
    }
  }

  render() {
    const { calls } = deletions;
    if (!calls.length && !this.failed) return nothing;
    return html`<section class="deleted" aria-label=${T.deletedTitle}>
      <ul>${calls.map((each) => html`<li><span>${T.deleted(each.name)}</span>
        <small class="dim" aria-hidden="true">${Math.max(0, Math.ceil((each.until - performance.now()) / 1000))} s</small>
        <button type="button" aria-label=${`${T.undo}: ${each.name}`} @click=${() => this.#undo(each.id)}>${T.undo}</button></li>`)}</ul>
      ${this.failed ? html`<p class="failed">${this.failed} <button type="button" @click=${() => { this.failed = ""; }}>${T.close}</button></p>` : nothing}
    </section>`;
  }
}
customElements.define("cf-deleted", Deleted);
