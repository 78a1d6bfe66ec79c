// One call, live and for ever after at the same address.
import { follow, get } from "./api.js";
import { Element, announce, html, nothing } from "./base.js";
import { at, duration, fully } from "./format.js";
import { placeOf } from "./links.js";
import { live } from "./live.js";
import { moment } from "./moment.js";
import { RecordingParts } from "./recording_parts.js";
import { Story } from "./story.js";
import { T } from "./texts.js";
import "./call_summary.js";
import "./actions.js";
import "./compare.js";
import "./cursor.js";
import "./ladder.js";
import "./listen.js";
import "./log.js";
import "./machine.js";
import "./transcript_frame.js";
import "./share.js";
import "./step_in.js";
import "./waterfalls.js";

class Call extends Element {
  static properties = { call: {}, me: { attribute: false }, place: { attribute: false }, state: { state: true }, sentence: { state: true } };
  #stream = null;
  #due = 0;
  #timer = 0;
  #pending = [];
  #changed = () => this.requestUpdate();

  constructor() { super(); this.state = "connecting"; }

  connectedCallback() {
    super.connectedCallback();
    live.addEventListener("change", this.#changed);
    this.#timer = setInterval(() => this.#tick(), 1000);
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    live.removeEventListener("change", this.#changed);
    clearInterval(this.#timer);
    this.#stream?.close();
    this.#stream = null;
  }

  willUpdate(changed) {
    if (changed.has("place")) moment.set(this.place?.at ?? null, "address");
    if (!changed.has("call")) return;
    this.#stream?.close();
    this.story = new Story();
    this.story.call = this.call;
    this.sounds = new RecordingParts();
    this.listed = null;
    document.title = `${T.call} · ${T.name}`;
    const path = `/api/live/${encodeURIComponent(this.call)}/events`;
    this.#stream = follow(() => (this.story.seq ? `${path}?after=${this.story.seq}` : path), {
      entry: (entry, id) => { this.#take({ ...entry, seq: entry.seq ?? Number(id) }); },
      partial: (data) => { this.story.partial(data, this.#now()); this.#soon(); },
      single: (data) => { if (this.story.single(data)) { this.#pending.push(data); this.#soon(); } },
      missed: ({ count }) => { this.#pending.push({ missed: count, at: this.#now() }); this.#soon(); },
      over: (data) => {
        this.#stream?.close();
        this.story.end(data);
        this.state = "over";
        this.#look();
        if (this.wasLive) announce(T.callOver(data.result, data.cause));
        else this.toBegin = true; // whoever opens a call of before reads it from its beginning
        this.#soon();
      },
    }, (state, sentence = "") => {
      if (this.story.over) return;
      this.state = state;
      this.sentence = sentence;
    });
    if (!live.calls.has(this.call)) this.#look(1);
  }

  /** Ask when the call began and ended, and why in words. It has one address, whichever of its ids led here. */
  async #look(tries = 5) {
    const { call } = this;
    try {
      const listed = await get(`/api/calls?sid=${encodeURIComponent(call)}`);
      if (call !== this.call || !this.isConnected) return;
      if (listed.id && listed.id !== call) {
        location.replace(placeOf(listed.id, this.place?.at ?? null, this.place?.beside ?? ""));
        return;
      }
      this.listed = listed;
      this.requestUpdate();
      // Its row is complete a moment later, when the last words are written down.
      if (!this.listed.cause && tries > 1 && this.isConnected) setTimeout(() => this.#look(tries - 1), 1500);
    } catch { /* a call of an earlier system is in no list */ }
  }

  #take(entry) {
    if (!this.story.take(entry)) return;
    const wasSilent = !this.sounds.isAny;
    this.sounds.take(entry);
    if (wasSilent && this.sounds.isAny) import("./sound.js"); // large, so only where there is a recording
    this.#pending.push(entry);
    this.#soon();
  }

  /** Seconds since the call began, as far as this page knows. */
  #now() {
    const row = live.calls.get(this.call);
    return row ? Date.now() / 1000 - row.began : (this.story.items.at(-1)?.at ?? 0) + 0.001;
  }

  #soon() {
    if (this.#due) return;
    this.#due = requestAnimationFrame(() => { this.#due = 0; this.requestUpdate(); });
  }

  updated() {
    const log = this.querySelector("cf-log");
    if (log && this.#pending.length) {
      for (const entry of this.#pending) log.take(entry);
      this.#pending = [];
      log.draw();
    }
    this.#tick();
  }

  #tick() {
    const clock = this.querySelector(".clock");
    const row = live.calls.get(this.call);
    if (!clock) return;
    const lasted = row ? Date.now() / 1000 - (row.answered ?? row.began) : this.story.facts.duration ?? this.story.items.at(-1)?.at;
    const text = duration(lasted);
    if (clock.textContent !== text) clock.textContent = text;
  }

  toggleLog() { this.querySelector("cf-log")?.toggle(); }

  render() {
    const { story } = this;
    if (this.state === "refused" && !story.items.length) {
      return html`<div class="empty"><h1>${T.callGone}</h1><p>${this.sentence}</p><p class="dim">${T.callGoneNext}</p>
        <p><a href="#/history">${T.history}</a> · <a href="#/">${T.wall}</a></p></div>`;
    }
    const row = live.calls.get(this.call);
    this.wasLive ||= Boolean(row);
    const facts = { ...story.facts, ...(row ? { from: row.from, to: row.to, profile: row.profile, carrier: row.carrier, direction: row.direction } : {}) };
    const isOver = Boolean(story.over);
    const beside = this.place?.beside || "";
    const state = isOver ? "over" : row?.state ?? story.path.at(-1)?.state ?? "";
    if (facts.from) document.title = `${facts.from} · ${T.name}`;
    return html`
      <header class="call-head">
        <h1><span dir="ltr">${facts.from || T.call}</span> <span class="dim">→</span> <span dir="ltr">${facts.to || ""}</span></h1>
        <span class="state chip" data-state=${state}><i class="dot" aria-hidden="true"></i>${T.states[state] ?? state}</span>
        <time class="clock"></time>
        ${row && !isOver ? html`<span class="dim speaking">${row.speaking ? T.speaking[row.speaking] : nothing}</span>` : nothing}
        ${row?.warnings?.map((each) => html`<span class="warning">${each}</span>`)}
        <span class="connection" data-state=${this.state}>${T.connection[this.state] ?? ""}</span>
        <cf-share .call=${this.call} .mayAct=${this.me?.role !== "view"}></cf-share>
      </header>
      <cf-actions .call=${this.call} .mayAct=${this.me?.role !== "view"} .isOver=${isOver} .isHeld=${story.held} .muted=${story.muted} .isRemote=${Boolean(row?.remote)}></cf-actions>
      <cf-step-in .call=${this.call} .mayAct=${this.me?.role !== "view"} .isOver=${isOver} .asked=${story.asked} .began=${row?.began ?? 0} .wereRung=${story.wereRung}></cf-step-in>
      ${row?.remote ? nothing : html`<cf-listen .call=${this.call} .mayAct=${this.me?.role !== "view"} .isOver=${isOver}></cf-listen>`}
      ${this.sounds.isAny ? html`<cf-sound .call=${this.call} .sounds=${this.sounds} .seq=${story.seq} .isOver=${isOver}></cf-sound>` : nothing}
      <div class="call-body ${beside ? "has-beside" : ""}">
        <div>
        <section class="panel grow" aria-labelledby="transcript-title">
          <header class="panel-head"><h2 id="transcript-title">${T.transcript}</h2><small class="dim">${T.legend}</small></header>
          <cf-transcript-frame .story=${story} .isOver=${isOver} .isLoading=${this.state === "connecting"} .toBegin=${this.toBegin}></cf-transcript-frame>
        </section>
        <section class="panel" aria-labelledby="ladder-title"><h2 id="ladder-title">${T.ladder.title}</h2><cf-ladder .story=${story} .isOver=${isOver}></cf-ladder></section>
        </div>
        ${beside ? html`<cf-compare .call=${beside} .own=${story}></cf-compare>` : nothing}
        <aside>
          <section class="panel" aria-labelledby="happened-title"><h2 id="happened-title">${T.happened.title}</h2>
            <cf-call-summary .call=${this.call} .story=${story} .isOver=${isOver} .cause=${this.listed?.cause ? this.listed.causeText : story.over?.cause ?? ""}></cf-call-summary></section>
          <section class="panel" aria-labelledby="path-title"><h2 id="path-title">${T.machine.title}</h2><cf-machine .path=${story.path}></cf-machine></section>
          <section class="panel" aria-labelledby="waits-title"><h2 id="waits-title">${T.waits.title}</h2><cf-waterfalls .story=${story}></cf-waterfalls></section>
          <section class="panel" aria-labelledby="facts-title"><h2 id="facts-title">${T.facts}</h2>${this.#facts(facts, row)}</section>
        </aside>
      </div>
      <section class="panel" aria-labelledby="log-title"><h2 id="log-title">${T.log}</h2><cf-log .isOver=${isOver}></cf-log></section>
      <cf-cursor .call=${this.call} .beside=${beside} .story=${story} .length=${story.rungs.at(-1)?.at ?? 0} .isOver=${isOver}></cf-cursor>`;
  }

  #facts(facts, row) {
    const cost = row?.cost ? T.costOf(row.cost.dollars, row.cost.ceiling) : typeof facts.cost === "number" ? T.costOf(facts.cost) : "";
    const moment = (value) => (value ? html`<time title=${fully(value)}>${at(value)}</time>` : "");
    const shown = {
      id: html`<code>${this.call}</code>`, carrier: T.carrierNames[facts.carrier] ?? facts.carrier, from: facts.from, to: facts.to,
      direction: T.direction[facts.direction], profile: facts.profile, business: facts.business,
      began: moment(row?.began ?? this.listed?.startTime), ended: moment(this.listed?.endTime),
      duration: typeof this.listed?.duration === "number" ? duration(this.listed.duration) : "",
      first_word: typeof facts.first_word === "number" ? T.took(facts.first_word) : "",
      interruptions: facts.interruptions, cost, result: this.story.over?.result, cause: (this.listed?.cause && this.listed.causeText) || this.story.over?.cause || facts.cause,
    };
    return html`<dl class="facts">${Object.entries(shown).filter(([, value]) => value !== undefined && value !== "" && value !== null)
      .map(([name, value]) => html`<dt>${T.factNames[name]}</dt><dd dir="auto">${value}</dd>`)}</dl>`;
  }
}
customElements.define("cf-call", Call);
