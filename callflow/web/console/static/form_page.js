// What the pages with forms share: they read something, do something, and tell in words how that went.
import { Element, announce, html, nothing } from "./base.js";
import { named } from "./named.js";
import { T } from "./texts.js";

const ROLES = ["view", "operate", "configure"];

/** Whether somebody has this role, or one that includes it. The server decides; this only does not offer in vain. */
export const may = (me, role) => ROLES.indexOf(me?.role ?? "view") >= ROLES.indexOf(role);

/** What is wrong, in the server's words. */
export function trouble(error) {
  if (!error) return nothing;
  const lines = error.problems?.length ? error.problems : [];
  return html`<div class="failed" role="alert"><p>${error.message}</p>${lines.length ? html`<ul class="lines">${lines.map((each) => html`<li dir="auto">${each}</li>`)}</ul>` : nothing}</div>`;
}

export class FormPage extends Element {
  static properties = {
    me: { attribute: false }, data: { state: true }, failed: { state: true }, refused: { state: true },
    said: { state: true }, busy: { state: true },
  };
  #timer = 0;
  #interval = 0;

  get heading() { return ""; }

  /** What the page calls the fields of its requests, by the API's names; by each page with a form. */
  get fields() { return {}; }

  /** Whether leaving the page would lose what somebody has put in; by pages where that is work. */
  get isUnsaved() { return false; }

  connectedCallback() {
    super.connectedCallback();
    document.title = `${this.heading} · ${T.name}`;
    this.reload();
  }

  disconnectedCallback() { super.disconnectedCallback(); clearTimeout(this.#timer); }

  /** Returns what the page shows; by each page. */
  async load() { return null; }

  async reload() {
    const interval = this.#interval;
    this.#interval = 0;
    try {
      this.data = await this.load();
      this.failed = null;
    } catch (error) {
      this.failed = this.me?.business && error.status === 404 ? { message: T.healthBound } : error;
      if (interval) this.again(interval); // a page that keeps itself up to date goes on with that
    }
  }

  /** Load again in a while, for as long as the page is there and somebody sees it. */
  again(ms) {
    clearTimeout(this.#timer);
    this.#interval = ms;
    this.#timer = setTimeout(() => {
      if (document.hidden) this.again(ms);
      else if (this.isConnected) this.reload();
    }, ms);
  }

  /** Do something. Returns what came of it; null: it was refused, which the page says. */
  async act(work, done = "") {
    this.busy = true;
    this.said = "";
    this.refused = null;
    try {
      const told = await work();
      this.said = typeof done === "function" ? done(told) : done;
      if (this.said) announce(this.said);
      return told;
    } catch (error) {
      this.refused = named(error, this.fields);
      announce(error.message);
      return null;
    } finally {
      this.busy = false;
    }
  }

  /** The words about what was done last. */
  outcome() {
    return html`<div class="outcome">${this.refused ? trouble(this.refused) : this.said ? html`<p class="dim">${this.said}</p>` : nothing}</div>`;
  }

  /** The page, once there is something to show. */
  render() {
    if (this.failed && !this.data) {
      return html`<section class="panel"><h1>${this.heading}</h1>${trouble(this.failed)}
        <p class="buttons"><button type="button" @click=${() => this.reload()}>${T.retry}</button></p></section>`;
    }
    if (!this.data) return html`<section class="panel"><h1>${this.heading}</h1><p class="empty">${T.pages.loading}</p></section>`;
    return this.draw();
  }
}

/** Ask in a dialog whether something is to be done. Resolves to the value of the button; "": not. */
export function confirmed(title, words, buttons) {
  return new Promise((resolve) => {
    const dialog = document.createElement("dialog");
    const add = (tag, text, where = dialog) => { const one = document.createElement(tag); one.textContent = text; where.append(one); return one; };
    dialog.setAttribute("aria-label", title);
    add("h2", title);
    for (const each of words) add("p", each).dir = "auto";
    const row = add("div", "");
    row.className = "buttons";
    for (const [value, text, kind] of [...buttons, ["", T.cancel, ""]]) {
      const button = add("button", text, row);
      button.type = "button";
      button.className = kind;
      button.addEventListener("click", () => dialog.close(value));
    }
    dialog.addEventListener("close", () => { dialog.remove(); resolve(dialog.returnValue); });
    document.querySelector("cf-app").append(dialog);
    dialog.showModal();
  });
}

/** A key of a request that may be repeated; also where the page is not on a secure origin. */
export const newKey = () => [...crypto.getRandomValues(new Uint8Array(16))].map((each) => each.toString(16).padStart(2, "0")).join("");

export const dollars = (value) => (value === null || value === undefined ? T.unknown : `$${value.toFixed(value < 0.1 ? 3 : 2)}`);
