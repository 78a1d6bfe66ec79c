// The shell: which view the address names, who is here, the keys, and whether the server still answers.
import { get, post } from "./api.js";
import { Element, html, nothing, repeat } from "./base.js";
import { callPlace } from "./links.js";
import { live } from "./live.js";
import { T } from "./texts.js";
import "./alerts.js";
import "./call.js";
import "./deleted.js";
import "./health.js";
import "./history.js";
import "./palette.js";
import "./phone.js";
import "./wall.js";
import { PLACES } from "./place_names.js";
import { draw, placed } from "./places.js";
import { confirmed } from "./form_page.js";

const THEMES = { auto: "light dark", light: "light", dark: "dark" };
const THEME = "callflow-theme";

function where() {
  const address = location.hash.slice(1) || "/";
  const call = callPlace(address);
  if (call) return call;
  const [path, query = ""] = address.split("?");
  const other = placed(path);
  if (other) return other;
  return { view: { "/": "wall", "/history": "history", "/health": "health" }[path] ?? "nothing", filters: new URLSearchParams(query) };
}

class App extends Element {
  static properties = { place: { state: true }, me: { state: true }, hasLogin: { state: true }, theme: { state: true } };
  #first = "";
  #address = location.hash;

  constructor() {
    super();
    this.place = where();
    this.me = null;
    this.theme = localStorage.getItem(THEME) ?? "auto";
    document.documentElement.style.colorScheme = THEMES[this.theme] ?? THEMES.auto;
  }

  connectedCallback() {
    super.connectedCallback();
    addEventListener("hashchange", () => this.#moved());
    addEventListener("beforeunload", (event) => { if (this.#isUnsaved()) event.preventDefault(); });
    document.addEventListener("keydown", (event) => this.#key(event));
    let told = "";
    live.addEventListener("change", () => { if (told !== live.state) { told = live.state; this.requestUpdate(); } });
    live.start();
    this.#who();
  }

  #isUnsaved() { return [...this.querySelectorAll("#content *")].some((each) => each.isUnsaved); }

  /** Show what the address names; where that would lose what somebody has put in, ask first. */
  async #moved() {
    const [before, wanted, address] = [this.place, where(), location.hash];
    const isSame = ["view", "call", "one", "isForAll"].every((name) => before[name] === wanted[name]);
    if (!isSame && this.#isUnsaved()) {
      history.replaceState(null, "", this.#address);
      if (document.querySelector("dialog[open]") || !await confirmed(T.leaveTitle, [T.leaveWords], [["yes", T.leave, "danger"]])) return;
      history.replaceState(null, "", address);
    }
    this.#address = address;
    this.place = wanted;
    if (before.view === wanted.view && before.call === wanted.call) return;
    await this.updateComplete;
    document.getElementById("content")?.focus({ preventScroll: true });
  }

  async #who() {
    try {
      const me = await get("/api/whoami");
      // Where no token is set, the form leads on at once, and there is nothing to sign out of.
      const form = await fetch("/login", { redirect: "manual" }).catch(() => null);
      this.hasLogin = form?.type !== "opaqueredirect";
      this.me = me;
    } catch (error) {
      this.me = { name: "", role: error.status === 404 ? "configure" : "view", business: "" };
      if (error.status !== 404) setTimeout(() => this.#who(), 5000);
    }
  }

  #setTheme() {
    const names = Object.keys(THEMES);
    this.theme = names[(names.indexOf(this.theme) + 1) % names.length];
    localStorage.setItem(THEME, this.theme);
    document.documentElement.style.colorScheme = THEMES[this.theme];
    document.dispatchEvent(new Event("cf-theme"));
  }

  async #signOut() {
    try { await post("/logout"); } finally { location.assign("/login"); }
  }

  #key(event) {
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
      event.preventDefault();
      this.querySelector("cf-palette").open();
      return;
    }
    const isTyping = event.target.closest?.("input, textarea, select, dialog");
    if (isTyping || event.ctrlKey || event.metaKey || event.altKey) return;
    const [first, key] = [this.#first, event.key];
    this.#first = key === "g" ? "g" : "";
    if (first === "g" && key === "w") location.hash = "#/";
    else if (first === "g" && key === "h") location.hash = "#/history";
    else if (first === "g" && key === "e") location.hash = "#/health";
    else if (key === "?") this.querySelector("cf-keys").open();
    else if (key === "ArrowLeft" || key === "ArrowRight") this.#event(key === "ArrowLeft" ? -1 : 1, event);
    else if (key === "p") this.querySelector("cf-call")?.toggleLog();
    else if (key === "/") {
      event.preventDefault();
      (this.querySelector('input[type="search"]') ?? { focus: () => this.querySelector("cf-palette").open() }).focus();
    } else if (key === "j" || key === "k") this.#step(key === "j" ? 1 : -1);
  }

  /** In a call: to the event before or after, unless what has the focus uses these keys itself. */
  #event(by, event) {
    const cursor = this.querySelector("cf-cursor");
    if (!cursor || event.target.closest("audio, video, [role=slider]")) return;
    event.preventDefault();
    cursor.step(by);
  }

  #step(by) {
    const links = [...this.querySelectorAll("#rows a")];
    const now = links.indexOf(document.activeElement);
    links[Math.min(links.length - 1, Math.max(0, now < 0 ? 0 : now + by))]?.focus();
  }

  render() {
    const { view } = this.place;
    const link = (name, href, text) => html`<a href=${href} aria-current=${view === name ? "page" : nothing}>${text}</a>`;
    const isTrouble = live.state === "lost" || live.state === "refused";
    return html`
      <a class="skip" href="#content" @click=${(event) => { event.preventDefault(); document.getElementById("content").focus(); }}>${T.skip}</a>
      <header class="bar">
        <a class="brand" href="#/"><img src=${new URL("icon.svg", import.meta.url).href} alt="" width="24" height="24">${T.name}</a>
        <nav aria-label=${T.name}>${link("wall", "#/", T.wall)} ${link("history", "#/history", T.history)} ${this.me?.business ? nothing : link("health", "#/health", this.me ? html`${T.health} <cf-alert-count></cf-alert-count>` : T.health)}
          ${PLACES.filter((each) => !(this.me?.business && each.view === "tools")).map((each) => link(each.view, `#/${each.view}`, each.name))}</nav>
        <span class="space"></span>
        <span class="connection" data-state=${live.state} role="status">${isTrouble ? (live.state === "lost" ? live.sentence || T.connection.lost : `${T.connection.refused} ${live.sentence}`) : T.connection[live.state]}</span>
        <cf-phone .me=${this.me}></cf-phone>
        <button type="button" @click=${() => this.querySelector("cf-palette").open()}>${T.find} <kbd>Ctrl K</kbd></button>
        <button type="button" aria-label=${T.keysTitle} @click=${() => this.querySelector("cf-keys").open()}>?</button>
        <button type="button" aria-label=${`${T.theme}: ${T.themes[this.theme]}`} title=${`${T.theme}: ${T.themes[this.theme]}`} @click=${() => this.#setTheme()}>◐</button>
        ${this.me?.name && this.hasLogin ? html`<span class="me" title=${[this.me.role, this.me.business].filter(Boolean).join(" · ")}>${this.me.name}</span>
          <button type="button" @click=${() => this.#signOut()}>${T.signOut}</button>` : nothing}
      </header>
      <main id="content" tabindex="-1">${this.#view()}</main>
      <div id="announcements" class="hidden" role="status" aria-live="polite"></div>
      <cf-deleted .me=${this.me}></cf-deleted><cf-palette></cf-palette><cf-keys></cf-keys>`;
  }

  #view() {
    switch (this.place.view) {
      case "wall": return html`<cf-wall></cf-wall>`;
      case "call": return html`${repeat([this.place.call], (id) => id, (id) => html`<cf-call .call=${id} .place=${this.place} .me=${this.me}></cf-call>`)}`;
      case "history": return html`<cf-history .filters=${this.place.filters} .me=${this.me}></cf-history>`;
      case "health": return html`<cf-health .me=${this.me}></cf-health>`;
      default: return draw(this.place, this.me) ?? html`<div class="empty"><h1>${T.notFound}</h1><p><a href="#/">${T.toWall}</a></p></div>`;
    }
  }
}
customElements.define("cf-app", App);
