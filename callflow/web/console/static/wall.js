// The wall: every live call, and the figures of the last hour.
import { Element, callAddress, html, nothing, repeat } from "./base.js";
import { duration, figure, fully } from "./format.js";
import { live } from "./live.js";
import { T } from "./texts.js";
import "./charts.js";

class CallRow extends Element {
  static properties = { row: { attribute: false } };

  updated() {
    this._meters = this.querySelectorAll(".meter > i");
    this._clock = this.querySelector(".clock");
    this.tick();
    this.loud(live.levels[this.row.id]);
  }

  /** Set how loud both are, 0 to 1, past the template: this happens five times a second. */
  loud(levels) {
    if (!this._meters?.length || (!levels && !this._wasLoud)) return;
    const [caller, agent] = levels ?? [0, 0];
    this._meters[0].style.transform = `scaleX(${caller})`;
    this._meters[1].style.transform = `scaleX(${agent})`;
    this._wasLoud = Boolean(levels);
  }

  tick() {
    if (!this._clock) return;
    const until = this.row.ended ?? Date.now() / 1000;
    const text = duration(until - (this.row.answered ?? this.row.began));
    if (this._clock.textContent !== text) this._clock.textContent = text;
  }

  render() {
    const row = this.row;
    const cost = row.cost;
    const spent = cost?.ceiling ? Math.min(1, cost.dollars / cost.ceiling) : null;
    const speaking = T.speaking[row.speaking] ?? T.speaking[""];
    return html`
      <a class="row ${row.over ? "is-over" : ""} ${row.warnings?.length ? "is-warned" : ""}" href=${callAddress(row.id)}
         data-state=${row.over ? "over" : row.state} data-speaking=${row.speaking ?? ""}>
        <span class="who">
          <b dir="ltr">${row.from || T.unknown}</b> <span class="dim">→</span> <span dir="ltr">${row.to || T.unknown}</span>
          <small>${[row.direction === "outbound" ? T.direction.outbound : T.direction.inbound, row.carrier, row.profile, row.business].filter(Boolean).join(" · ")}</small>
        </span>
        <span class="state"><i class="dot" aria-hidden="true"></i>${row.over ? T.endedAs(row.result) : (T.states[row.state] ?? row.state)}</span>
        <time class="clock" title=${fully(row.began)}></time>
        <span class="voices">
          <span class="voice caller"><small>${T.callerVoice}</small><span class="meter"><i></i></span></span>
          <span class="voice agent"><small>${T.agentVoice}</small><span class="meter"><i></i></span></span>
          <span class="hidden">${speaking}</span>
        </span>
        <span class="latency ${row.latency_ms > 1500 ? "is-bad" : ""}">${row.latency_ms === null || row.latency_ms === undefined ? T.unknown : T.latencyOf(row.latency_ms)}</span>
        <span class="cost" title=${cost ? T.costOf(cost.dollars, cost.ceiling) : T.costUnknown}>
          ${cost ? html`<span>${`$${cost.dollars.toFixed(3)}`}</span>` : html`<span class="dim">${T.unknown}</span>`}
          ${spent === null ? nothing : html`<span class="fuse" data-level=${spent > 0.9 ? "high" : spent > 0.7 ? "middle" : "low"}><i .style=${`transform:scaleX(${spent})`}></i></span>`}
        </span>
        ${row.warnings?.length ? html`<span class="warnings">${row.warnings.map((each) => html`<span class="warning">${each}</span>`)}</span>` : nothing}
      </a>`;
  }
}
customElements.define("cf-row", CallRow);

class Wall extends Element {
  #changed = () => this.requestUpdate();
  #levels = () => { for (const row of this.querySelectorAll("cf-row")) row.loud(live.levels[row.row.id]); };
  #timer = 0;

  connectedCallback() {
    super.connectedCallback();
    document.title = `${T.wall} · ${T.name}`;
    live.addEventListener("change", this.#changed);
    live.addEventListener("levels", this.#levels);
    this.#timer = setInterval(() => { for (const row of this.querySelectorAll("cf-row")) row.tick(); }, 1000);
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    live.removeEventListener("change", this.#changed);
    live.removeEventListener("levels", this.#levels);
    clearInterval(this.#timer);
  }

  render() {
    const rows = live.rows();
    return html`
      <section class="panel" aria-labelledby="wall-title">
        <header class="panel-head"><h1 id="wall-title">${T.wall}</h1>${this.#figures()}</header>
        ${this.#missing()}
        ${rows.length ? html`
          <div class="columns" aria-hidden="true">${Object.values(T.columns).map((each) => html`<span>${each}</span>`)}</div>
          <ul class="rows" id="rows">${repeat(rows, (row) => row.id, (row) => html`<li><cf-row .row=${row}></cf-row></li>`)}</ul>`
          : this.#empty()}
      </section>
      <cf-charts></cf-charts>`;
  }

  #figures() {
    const c = live.counters ?? {};
    const ms = (value) => (value === null || value === undefined ? T.unknown : T.latencyOf(value));
    const shown = [
      [T.counters.live, c.live ?? T.unknown], [T.counters.today, c.today ?? T.unknown], [T.counters.p50, ms(c.latency_p50_ms)],
      [T.counters.p95, ms(c.latency_p95_ms)], [T.counters.lag, figure(c.loop_lag_p99_ms, "ms")],
    ];
    return html`<dl class="figures">${shown.map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;
  }

  #missing() {
    const names = live.counters?.missing ?? [];
    return names.length ? html`<p class="warned" role="status">${T.wallMissing(names)}</p>` : "";
  }

  #empty() {
    if (live.state === "refused") return html`<p class="empty">${T.connection.refused} ${live.sentence}</p>`;
    if (!live.counters) return html`<p class="empty">${live.state === "lost" ? live.sentence || T.connection.lost : T.wallLoading}</p>`;
    return html`<div class="empty"><p>${T.wallEmpty}</p><p class="dim">${T.wallEmptyNext}</p><p><a href="#/history">${T.history}</a></p></div>`;
  }
}
customElements.define("cf-wall", Wall);
