// Profiles and the session of coming calls: every setting with its origin, where it holds, and its versions.
import { get, send } from "./api.js";
import { html, nothing, repeat } from "./base.js";
import { at } from "./format.js";
import { field, valueOf } from "./setting_field.js";
import { FormPage, confirmed, may } from "./form_page.js";
import { T } from "./texts.js";

const P = T.profiles;
const pathOf = (name) => (name ? `/api/profiles/${encodeURIComponent(name)}` : "/api/session");

class Profiles extends FormPage {
  get heading() { return T.pages.profiles; }

  load() { return get("/api/profiles"); }

  #make = (event) => {
    event.preventDefault();
    const name = event.target.elements.name.value.trim();
    if (name) location.hash = `#/profiles/${encodeURIComponent(name)}`;
  };

  draw() {
    const C = P.columns;
    return html`<section class="panel" aria-labelledby="profiles-title">
      <header class="panel-head"><h1 id="profiles-title">${this.heading}</h1><p class="dim">${P.what}</p></header>
      ${this.data.warnings.map((each) => html`<p class="warning" dir="auto">${each}</p>`)}
      <div class="table"><table><thead><tr>${Object.values(C).map((each) => html`<th scope="col">${each}</th>`)}</tr></thead>
      <tbody id="rows">
        ${this.me?.business ? nothing : html`<tr><td data-name=${C.name}><a class="row-link" href="#/session">${P.all}</a></td><td data-name=${C.numbers}>${P.allNumbers}</td><td></td><td></td></tr>`}
        ${this.data.profiles.map((each) => html`<tr>
          <td data-name=${C.name} dir="auto"><a class="row-link" href=${`#/profiles/${encodeURIComponent(each.name)}`}>${each.name}</a>${each.warnings.length ? html` <small class="warning">${P.warned(each.warnings.length)}</small>` : nothing}</td>
          <td data-name=${C.numbers} dir="ltr" class="wide">${each.numbers.join(", ") || P.noNumbers}</td>
          <td data-name=${C.origin}>${P.origins[each.origin] ?? each.origin}</td>
          <td data-name=${C.changed}>${each.version ? html`${P.version(each.version)} · ${at(each.changed)} <small class="dim">${each.by ?? ""}</small>` : T.unknown}</td></tr>`)}
      </tbody></table></div>
      ${may(this.me, "configure") && !this.me.business ? html`<form class="filters new-profile" @submit=${this.#make}>
        <label><span>${P.newName}</span><input name="name" required autocomplete="off" maxlength="64"></label><span class="buttons"><button>${P.make}</button></span></form>` : nothing}
    </section>`;
  }
}
customElements.define("cf-profiles", Profiles);

class Profile extends FormPage {
  static properties = { ...FormPage.properties, profile: {}, changes: { state: true }, numbers: { state: true }, find: { state: true }, compared: { state: true } };

  constructor() { super(); this.changes = {}; this.numbers = null; this.find = ""; }

  get heading() { return this.profile || P.all; }

  get fields() { return { numbers: P.columns.numbers }; } // the settings have the API's names on the page, too

  async load() {
    let told = null;
    const versionsOf = () => get(`${pathOf(this.profile)}/versions`);
    // Before the settings, which have no version of their own: so that a change in between is not taken for seen.
    const ofAll = this.profile ? null : await versionsOf().catch(() => null);
    try {
      told = await get(pathOf(this.profile));
    } catch (error) {
      if (error.status !== 404 || !this.profile) throw error;
    }
    const isNew = told === null;
    const [about, versions] = await Promise.all([
      get(`/api/settings?profile=${encodeURIComponent(isNew ? "" : this.profile)}`),
      this.profile && !isNew ? versionsOf() : ofAll,
    ]);
    told ??= { ...(await get("/api/session").catch(() => ({ settings: {} }))), numbers: [], version: 0, kept: {}, warnings: [] };
    told.version ??= versions && (versions.versions[0]?.version ?? 0); // null: not known
    return { told, about, isNew, versions: versions?.versions ?? [] };
  }

  get isUnsaved() { return this.#isChanged; }

  get #isChanged() { return Object.keys(this.changes).length > 0 || this.numbers !== null; }

  #set(one, input) {
    const value = valueOf(one, input);
    const { [one.name]: _, ...others } = this.changes;
    const before = this.data.told.settings[one.name]?.value;
    this.changes = value === before ? others : { ...others, [one.name]: value };
  }

  #back(one) { this.changes = { ...this.changes, [one.name]: null }; }

  #drop() { this.changes = {}; this.numbers = null; this.refused = null; this.requestUpdate(); }

  #save = async (event) => {
    event?.preventDefault();
    const { told, isNew } = this.data;
    const { changes, numbers } = this;
    const body = { ...changes };
    if (isNew) for (const [name, value] of Object.entries(body)) if (value === null) delete body[name];
    if (this.profile && (this.numbers !== null || isNew)) body.numbers = (this.numbers ?? "").split(/[\s,;]+/).filter(Boolean);
    if (!isNew && told.version !== null) body.version = told.version;
    const saved = await this.act(() => send(isNew ? "PUT" : "PATCH", pathOf(this.profile), { body }), (now) => P.saved(now.version ?? 0));
    if (saved) {
      // What was typed while it was saved stays.
      this.changes = Object.fromEntries(Object.entries(this.changes).filter(([name, value]) => changes[name] !== value));
      if (this.numbers === numbers) this.numbers = null;
      this.compared = null;
      await this.reload();
      this.data.told.warnings = saved.warnings ?? [];
      this.requestUpdate();
    }
  };

  /** Somebody else has changed it: their version is read, and what was typed here stays. */
  async #reread() { this.refused = null; await this.reload(); this.said = P.reread; }

  async #delete() {
    if (!await confirmed(P.deleteTitle(this.profile), [P.deleteWords], [["yes", P.delete, "danger"]])) return;
    const done = await this.act(() => send("DELETE", pathOf(this.profile), { body: { version: this.data.told.version } }));
    if (done) { this.#drop(); location.hash = "#/profiles"; }
  }

  async #forget() {
    if (!await confirmed(P.forgetTitle, [P.forgetWords(Object.keys(this.data.told.kept))], [["yes", P.forget, "danger"]])) return;
    if (await this.act(() => send("DELETE", pathOf(""), { body: { version: this.data.told.version } }), P.forgotten)) { this.#drop(); this.reload(); }
  }

  async #compare(version) {
    const told = await this.act(() => get(`${pathOf(this.profile)}/versions/${version}`));
    if (told) this.compared = told;
  }

  async #restore(version) {
    const told = await this.act(() => send("POST", `${pathOf(this.profile)}/versions/${version}/restore`, { body: { version: this.data.told.version } }), P.restored(version));
    if (told) { this.compared = null; this.#drop(); this.reload(); }
  }

  draw() {
    const { told, about, isNew } = this.data;
    const mayChange = may(this.me, "configure");
    const where = this.profile ? P.appliesTo(told.numbers ?? []) : P.appliesToAll;
    return html`
      <form class="profile" novalidate @submit=${this.#save}>
      <section class="panel" aria-labelledby="profile-title">
        <header class="panel-head"><h1 id="profile-title" dir="auto">${this.heading}</h1><a href="#/profiles">${P.list}</a></header>
        <p class="dim">${isNew ? P.isNew : where} ${P.modelIs(about.model)}</p>
        ${[...new Set(told.warnings ?? [])].map((each) => html`<p class="warning" dir="auto">${each}</p>`)}
        ${this.profile ? html`<label class="whole"><span>${P.columns.numbers}</span><input dir="ltr" autocomplete="off" ?disabled=${!mayChange} .value=${this.numbers ?? told.numbers.join(", ")} @input=${(event) => { this.numbers = event.target.value; }}></label>` : nothing}
        ${mayChange ? nothing : html`<p class="dim">${T.actsConfigure}</p>`}
      </section>
      ${this.#fields(mayChange)}
      ${mayChange ? html`<div class="save-bar">
        <span>${this.#isChanged ? P.changed(Object.keys(this.changes)) : isNew ? P.isNew : P.unchanged}</span>
        <span class="buttons"><button class="primary" ?disabled=${this.busy || !(this.#isChanged || isNew)}>${P.save}</button>
          ${this.#isChanged ? html`<button type="button" @click=${() => this.#drop()}>${P.drop}</button>` : nothing}
          ${this.refused?.status === 409 ? html`<button type="button" @click=${() => this.#reread()}>${P.lookAgain}</button>` : nothing}
          ${this.profile && told.version && !isNew && !this.me.business ? html`<button type="button" class="danger" @click=${() => this.#delete()}>${P.deleteOf}</button>` : nothing}
          ${!this.profile && Object.keys(told.kept ?? {}).length ? html`<button type="button" class="danger" @click=${() => this.#forget()}>${P.forgetOf}</button>` : nothing}</span>
        ${this.outcome()}</div>` : nothing}
      </form>
      ${isNew ? nothing : this.#versions(mayChange)}`;
  }

  #fields(mayChange) {
    const { told, about } = this.data;
    const wanted = this.find.trim().toLowerCase();
    const shown = about.fields.filter((each) => !wanted || `${each.name} ${each.text}`.toLowerCase().includes(wanted));
    const groups = Map.groupBy ? Map.groupBy(shown, (each) => each.heading) : shown.reduce((all, each) => all.set(each.heading, [...(all.get(each.heading) ?? []), each]), new Map());
    return html`<section class="panel" aria-labelledby="settings-title">
      <header class="panel-head"><h2 id="settings-title">${P.settings}</h2>
        <input type="search" placeholder=${P.find} aria-label=${P.find} .value=${this.find} @input=${(event) => { event.stopPropagation(); this.find = event.target.value; }}></header>
      ${[...groups].map(([heading, fields], index) => html`<details class="field-group" ?open=${index < 2 || wanted}>
        <summary><b>${heading}</b> <small class="dim">${P.ownOf(fields.filter((each) => each.name in (told.kept ?? {})).length)}</small></summary>
        ${fields.map((one) => field(one, {
          told: told.settings[one.name] ?? { value: one.default, origin: "default" }, change: this.changes[one.name], isChanged: one.name in this.changes,
          notTaken: about.notTaken[one.name], isOwn: one.name in (told.kept ?? {}), mayChange, isProfile: Boolean(this.profile),
          set: (input) => this.#set(one, input), back: () => this.#back(one),
        }))}</details>`)}
      ${shown.length ? nothing : html`<p class="empty">${T.logEmpty}</p>`}</section>`;
  }

  #versions(mayChange) {
    const { told, versions } = this.data;
    if (!versions.length) return html`<section class="panel"><h2>${P.versions}</h2><p class="dim">${P.noVersions}</p></section>`;
    return html`<section class="panel" aria-labelledby="versions-title"><h2 id="versions-title">${P.versions}</h2>
      <div class="table"><table><tbody>${repeat(versions, (each) => each.version, (each) => html`<tr>
        <td>${P.version(each.version)}${each.version === told.version ? html` <small class="dim">${P.present}</small>` : nothing}</td>
        <td>${at(each.changed)} <small class="dim">${each.by}</small></td>
        <td class="wide">${each.gone ? P.gone : (each.changes ?? []).join(", ") || T.unknown}</td>
        <td>${each.gone || each.version === told.version ? nothing : html`<button type="button" ?disabled=${this.busy} @click=${() => this.#compare(each.version)}>${P.compare}</button>
          ${mayChange ? html`<button type="button" ?disabled=${this.busy} @click=${() => this.#restore(each.version)}>${P.restore}</button>` : nothing}`}</td></tr>`)}</tbody></table></div>
      ${this.compared ? this.#difference() : nothing}</section>`;
  }

  #difference() {
    const { told } = this.data;
    const now = { ...told.kept, numbers: told.numbers };
    const then = { ...this.compared.settings, numbers: this.compared.numbers };
    const names = [...new Set([...Object.keys(now), ...Object.keys(then)])].filter((name) => JSON.stringify(now[name]) !== JSON.stringify(then[name])).sort();
    const show = (value) => (value === undefined ? html`<span class="dim">${P.ofOthers}</span>` : typeof value === "string" ? value : JSON.stringify(value));
    return html`<h3>${P.difference(this.compared.version)}</h3>
      ${names.length ? html`<div class="table"><table class="difference"><thead><tr><th scope="col">${P.setting}</th><th scope="col">${P.then}</th><th scope="col">${P.now}</th></tr></thead>
      <tbody>${names.map((name) => html`<tr><td><code>${name}</code></td><td class="wide" data-name=${P.then} dir="auto">${show(then[name])}</td><td class="wide" data-name=${P.now} dir="auto">${show(now[name])}</td></tr>`)}</tbody></table></div>` : html`<p class="dim">${P.same}</p>`}`;
  }
}
customElements.define("cf-profile", Profile);
