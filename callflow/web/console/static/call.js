// One call, live and for ever after at the same address.
import { follow, get } from "./api.js";
import { Element, announce, html, nothing } from "./base.js";
import { at, duration, fully, precise } from "./format.js";
import { live } from "./live.js";
import { Story } from "./story.js";
import { T } from "./texts.js";
import { transcript } from "./transcript.js";
import "./acts.js";
import "./listen.js";
import "./log.js";
import "./stepin.js";

const NEAR = 80; // px from the end within which the transcript follows what is said

class Call extends Element {
  static properties = { call: {}, me: { attribute: false }, state: { state: true }, sentence: { state: true }, follows: { state: true } };
  #stream = null;
  #due = 0;
  #timer = 0;
  #pending = [];
  #changed = () => this.requestUpdate();

  constructor() { super(); this.follows = true; this.state = "connecting"; }

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
    if (!changed.has("call")) return;
    this.#stream?.close();
    this.story = new Story();
    this.listed = null;
    this.follows = true;
    document.title = `${T.call} · ${T.name}`;
    const path = `/api/live/${encodeURIComponent(this.call)}/events`;
    this.#stream = follow(() => (this.story.seq ? `${path}?after=${this.story.seq}` : path), {
      entry: (entry, id) => { this.#take({ ...entry, seq: entry.seq ?? Number(id) }); },
      partial: (data) => { this.story.partial(data, this.#now()); this.#soon(); },
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
  }

  /** Ask when the call began and ended, and why in words. */
  async #look() {
    try {
      this.listed = await get(`/api/calls?sid=${encodeURIComponent(this.call)}`);
      this.requestUpdate();
    } catch { /* a call of an earlier system is in no list */ }
  }

  #take(entry) {
    if (!this.story.take(entry)) return;
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
    const place = this.querySelector(".transcript");
    if (place && this.toBegin) {
      this.toBegin = this.follows = false;
      place.scrollTop = 0;
    } else if (place && this.follows) {
      place.scrollTop = place.scrollHeight;
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

  #scrolled = (event) => {
    const place = event.target;
    this.follows = place.scrollHeight - place.scrollTop - place.clientHeight < NEAR;
  };

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
    const state = isOver ? "over" : row?.state ?? story.path.at(-1)?.state ?? "";
    if (facts.from) document.title = `${facts.from} · ${T.name}`;
    return html`
      <header class="call-head">
        <h1><span dir="ltr">${facts.from || T.call}</span> <span class="dim">→</span> <span dir="ltr">${facts.to || ""}</span></h1>
        <span class="state chip" data-state=${state}><i class="dot" aria-hidden="true"></i>${T.states[state] ?? state}</span>
        <time class="clock"></time>
        ${row?.speaking ? html`<span class="dim">${T.speaking[row.speaking]}</span>` : nothing}
        ${row?.warnings?.map((each) => html`<span class="warning">${each}</span>`)}
        <span class="connection" data-state=${this.state}>${T.connection[this.state] ?? ""}</span>
      </header>
      <cf-acts .call=${this.call} .mayAct=${this.me?.role !== "view"} .isOver=${isOver} .isHeld=${story.held} .muted=${story.muted} .isRemote=${Boolean(row?.remote)}></cf-acts>
      <cf-stepin .call=${this.call} .mayAct=${this.me?.role !== "view"} .isOver=${isOver} .asked=${story.asked} .began=${row?.began ?? 0}></cf-stepin>
      ${row?.remote ? "" : html`<cf-listen .call=${this.call} .mayAct=${this.me?.role !== "view" && !this.me?.business} .isOver=${isOver}></cf-listen>`}
      <div class="call-body">
        <section class="panel grow" aria-labelledby="transcript-title">
          <header class="panel-head"><h2 id="transcript-title">${T.transcript}</h2><small class="dim">${T.legend}</small></header>
          <div class="transcript" role="log" aria-live="off" aria-label=${T.transcript} tabindex="0" @scroll=${this.#scrolled}>
            ${story.items.length ? html`<ol>${transcript(story.items)}</ol>`
              : html`<p class="empty">${this.state === "connecting" ? T.transcriptLoading : T.transcriptEmpty}</p>`}
            ${isOver ? html`<p class="end">${T.callOver(story.over.result, story.over.cause)}</p>` : nothing}
          </div>
          <button type="button" class="newest" ?hidden=${this.follows || isOver} @click=${() => { this.follows = true; this.requestUpdate(); }}>${T.newest}</button>
        </section>
        <aside>
          <section class="panel" aria-labelledby="path-title"><h2 id="path-title">${T.path}</h2>${this.#path()}</section>
          <section class="panel" aria-labelledby="facts-title"><h2 id="facts-title">${T.facts}</h2>${this.#facts(facts, row)}</section>
        </aside>
      </div>
      <section class="panel" aria-labelledby="log-title"><h2 id="log-title">${T.log}</h2><cf-log></cf-log></section>`;
  }

  #path() {
    const { path } = this.story;
    if (!path.length) return html`<p class="dim">${T.unknown}</p>`;
    return html`<ol class="path">${path.map((each, index) => html`
      <li class=${index === path.length - 1 ? "is-last" : ""} data-state=${each.state}><span>${T.states[each.state] ?? each.state}</span>
        <time>${precise(each.at)}</time><small class="dim">${index < path.length - 1 ? `${(path[index + 1].at - each.at).toFixed(1)} s` : ""}</small></li>`)}</ol>`;
  }

  #facts(facts, row) {
    const cost = row?.cost ? T.costOf(row.cost.dollars, row.cost.ceiling) : typeof facts.cost === "number" ? T.costOf(facts.cost) : "";
    const moment = (value) => (value ? html`<time title=${fully(value)}>${at(value)}</time>` : "");
    const shown = {
      id: html`<code>${this.call}</code>`, carrier: facts.carrier, from: facts.from, to: facts.to,
      direction: T.direction[facts.direction], profile: facts.profile, business: facts.business,
      began: moment(row?.began ?? this.listed?.startTime), ended: moment(this.listed?.endTime),
      duration: typeof this.listed?.duration === "number" ? duration(this.listed.duration) : "",
      first_word: typeof facts.first_word === "number" ? T.took(facts.first_word) : "",
      interruptions: facts.interruptions, cost, result: this.story.over?.result, cause: this.listed?.causeText || this.story.over?.cause || facts.cause,
    };
    return html`<dl class="facts">${Object.entries(shown).filter(([, value]) => value !== undefined && value !== "" && value !== null)
      .map(([name, value]) => html`<dt>${T.factNames[name]}</dt><dd dir="auto">${value}</dd>`)}</dl>`;
  }
}
customElements.define("cf-call", Call);
