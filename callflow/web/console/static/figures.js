// Figures of all calls that a search of the history finds: charts, and the same numbers as tables.
import uPlot from "uplot";
import { get } from "./api.js";
import { Element, html, nothing } from "./base.js";
import { colour } from "./charts.js";
import { duration, figure } from "./format.js";
import { query } from "./history_query.js";
import { dollars } from "./form_page.js";
import { named } from "./named.js";
import { T } from "./texts.js";

const F = T.figures;
const HEIGHT = 150; // px
const dark = matchMedia("(prefers-color-scheme: dark)");
const dayName = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric" });
const wholeDay = new Intl.DateTimeFormat(undefined, { dateStyle: "medium" });
const hourName = new Intl.DateTimeFormat(undefined, { hour: "numeric" });
const percent = new Intl.NumberFormat(undefined, { style: "percent", maximumFractionDigits: 0 });

/** Calls by day, and by the hour of the day, of the viewer's zone. */
function byDay(told) {
  const days = new Map();
  const first = new Date(told.from);
  const last = new Date(told.to);
  for (let at = new Date(first.getFullYear(), first.getMonth(), first.getDate()); at <= last; at = new Date(at.getFullYear(), at.getMonth(), at.getDate() + 1)) days.set(at.getTime(), [0, 0]);
  const hours = Array.from({ length: 24 }, () => [0, 0]);
  for (const each of told.hours) {
    const at = new Date(each.at);
    const day = new Date(at.getFullYear(), at.getMonth(), at.getDate()).getTime();
    if (!days.has(day)) days.set(day, [0, 0]);
    for (const sums of [days.get(day), hours[at.getHours()]]) { sums[0] += each.calls; sums[1] += each.answered; }
  }
  return { days: [...days].sort(([a], [b]) => a - b), hours };
}

class Figures extends Element {
  static properties = { filters: { attribute: false }, told: { state: true }, failed: { state: true }, isOpen: { state: true }, busy: { state: true } };
  #plots = [];
  #asking = null;
  #sizes = new ResizeObserver(() => this.#resize());
  #redraw = () => this.#draw();

  connectedCallback() {
    super.connectedCallback();
    dark.addEventListener("change", this.#redraw);
    document.addEventListener("cf-theme", this.#redraw);
    this.#sizes.observe(this);
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    dark.removeEventListener("change", this.#redraw);
    document.removeEventListener("cf-theme", this.#redraw);
    this.#sizes.disconnect();
    this.#asking?.abort();
    this.#clear();
  }

  willUpdate(changed) {
    if (changed.has("filters") && String(changed.get("filters")) !== String(this.filters)) this.#load();
  }

  async #load() {
    if (!this.isOpen) { this.told = null; return; }
    this.#asking?.abort();
    const asking = (this.#asking = new AbortController());
    this.busy = true;
    try {
      this.told = await get(`/api/stats?${query(this.filters)}`, { signal: asking.signal });
      this.failed = "";
    } catch (error) {
      if (error.name === "AbortError") return;
      this.failed = named(error, T.historyFilters).message;
      this.told = null;
    } finally {
      if (this.#asking === asking) this.busy = false;
    }
  }

  #toggle = (event) => {
    if (event.target !== this.querySelector("details")) return;
    this.isOpen = event.target.open;
    if (this.isOpen && !this.told) this.#load();
  };

  #clear() { for (const plot of this.#plots) plot.destroy(); this.#plots = []; }

  #resize() {
    for (const plot of this.#plots) {
      const width = plot.root.parentElement.clientWidth;
      if (width > 0 && Math.abs(width - plot.width) > 1) plot.setSize({ width, height: HEIGHT });
    }
  }

  updated(changed) { if (changed.has("told")) this.#draw(); }

  #draw() {
    this.#clear();
    if (!this.told?.calls.all) return;
    const { days, hours } = byDay(this.told);
    const bins = this.told.latency_ms.bins;
    const ink = { text: colour(this, "--dim"), grid: colour(this, "--line"), one: colour(this, "--accent"), two: colour(this, "--warm") };
    const axis = { stroke: ink.text, grid: { stroke: ink.grid, width: 1 }, ticks: { show: false }, font: "11px system-ui" };
    const make = (place, names, series) => {
      const target = this.querySelector(`[data-figure=${place}]`);
      if (!target || !names.length) return;
      const at = names.map((_, index) => index);
      const bars = uPlot.paths.bars({ size: [0.75, 40] });
      const few = names.length <= 24 ? 1 : Math.ceil(names.length / 12);
      this.#plots.push(new uPlot({
        width: target.clientWidth || 300, height: HEIGHT, legend: { show: false }, cursor: { y: false, points: { show: false } },
        scales: { x: { time: false, range: () => [-0.6, names.length - 0.4] }, y: { range: (_, low, high) => [0, Math.max(high * 1.1 || 0, 1)] } },
        axes: [{ ...axis, grid: { show: false }, size: 26, incrs: [1, 2, 3, 4, 6, 7, 14, 28], space: names.length > 12 ? 44 : 30, values: (_, ticks) => ticks.map((tick) => (Number.isInteger(tick) && names[tick] !== undefined && tick % few === 0 ? names[tick] : "")) }, { ...axis, size: 40, space: 30, values: (_, ticks) => ticks.map((tick) => (Number.isInteger(tick) ? tick : "")) }],
        series: [{}, ...series.map(([label, , fill]) => ({ label, stroke: fill, fill, width: 0, paths: bars, points: { show: false } }))],
      }, [at, ...series.map(([, values]) => values)], target));
    };
    const faint = `color-mix(in srgb, ${ink.two} 55%, transparent)`;
    make("days", days.map(([day]) => dayName.format(day)), [[F.calls, days.map(([, [calls]]) => calls), faint], [F.answered, days.map(([, [, answered]]) => answered), ink.one]]);
    make("hours", hours.map((_, hour) => String(hour)), [[F.calls, hours.map(([calls]) => calls), faint], [F.answered, hours.map(([, answered]) => answered), ink.one]]);
    make("latency", bins.map((each) => (each.until === null ? "+" : String(each.until))), [[F.answers, bins.map((each) => each.count), ink.one]]);
  }

  render() {
    return html`<section aria-label=${F.title}><details class="figures-of" @toggle=${this.#toggle}>
      <summary><h2>${F.title}</h2></summary>
      ${this.failed ? html`<p class="failed" role="alert">${this.failed}</p>` : nothing}
      ${this.isOpen && !this.told && this.busy ? html`<p class="empty">${F.loading}</p>` : nothing}
      ${this.told ? this.#shown() : nothing}</details></section>`;
  }

  #shown() {
    const { calls, seconds, latency_ms, cost, interruptions, minutes } = this.told;
    const span = html`<p class="dim">${F.span(wholeDay.format(new Date(this.told.from)), wholeDay.format(new Date(this.told.to)))} ${this.filters.get("days") || this.filters.get("from") ? nothing : F.usual}</p>`;
    if (!calls.all) return html`${span}<p class="empty">${T.historyEmpty}</p>`;
    const ms = (value) => (value === null ? T.unknown : T.latencyOf(value));
    const facts = [
      [F.calls, calls.all], [F.rate, calls.rate === null ? T.unknown : percent.format(calls.rate)], [F.minutes, minutes],
      [F.half, duration(seconds.p50 ?? NaN)], [F.most, duration(seconds.p95 ?? NaN)],
      [T.counters.p50, ms(latency_ms.p50)], [T.counters.p95, ms(latency_ms.p95)],
      [F.interruptions, interruptions.each === null ? T.unknown : interruptions.each], [F.cost, dollars(cost.engine_usd + cost.carrier_usd)],
    ];
    return html`${span}
      ${calls.whole ? nothing : html`<p class="warning">${F.notWhole(calls.most)}</p>`}
      ${cost.unpriced ? html`<p class="dim">${F.unpriced(cost.unpriced)}</p>` : nothing}
      <dl class="figures">${facts.map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>
      <div class="charts">${this.#chart("days", F.byDay)} ${this.#chart("hours", F.byHour)} ${latency_ms.count ? this.#chart("latency", F.latency) : nothing}
        ${this.#bars(F.results, this.told.results.map((each) => [F.resultNames[each.result] ?? each.result, each.calls]))}
        ${this.#bars(F.causes, this.told.causes.slice(0, 8).map((each) => [each.why, each.calls]))}
        ${this.told.profiles.length > 1 ? this.#bars(T.factNames.profile, this.told.profiles.slice(0, 8).map((each) => [each.name || F.noProfile, each.calls])) : nothing}</div>
      <details class="more"><summary>${F.asTables}</summary>${this.#tables()}</details>`;
  }

  #chart(name, label) {
    return html`<figure class="chart"><figcaption>${label}${name === "latency" ? nothing : html` <span class="key one">${F.answered}</span> <span class="key two">${F.calls}</span>`}</figcaption>
      <div class="plot is-tall" aria-hidden="true" data-figure=${name}></div></figure>`;
  }

  #bars(title, rows) {
    const most = Math.max(1, ...rows.map(([, count]) => count));
    return html`<div class="chart"><h3>${title}</h3><ul class="bars">${rows.map(([name, count]) => html`
      <li><span dir="auto">${name}</span><span class="track"><i .style=${`transform:scaleX(${count / most})`}></i></span><b>${count}</b></li>`)}
      ${rows.length ? nothing : html`<li class="dim">${T.unknown}</li>`}</ul></div>`;
  }

  #tables() {
    const { days, hours } = byDay(this.told);
    const table = (caption, heads, rows) => html`<div class="table"><table><caption>${caption}</caption><thead><tr>${heads.map((each) => html`<th scope="col">${each}</th>`)}</tr></thead>
      <tbody>${rows.map((row) => html`<tr>${row.map((each, index) => html`<td data-name=${heads[index]}>${each}</td>`)}</tr>`)}</tbody></table></div>`;
    return html`${table(F.byDay, [F.day, F.calls, F.answered], days.filter(([, [calls]]) => calls).map(([day, sums]) => [wholeDay.format(day), ...sums]))}
      ${table(F.byHour, [F.hour, F.calls, F.answered], hours.map((sums, hour) => [hourName.format(new Date(2000, 0, 1, hour)), ...sums]).filter(([, calls]) => calls))}
      ${table(F.latency, [F.within, F.answers], this.told.latency_ms.bins.filter((each) => each.count).map((each) => [each.until === null ? F.longer : figure(each.until, "ms"), each.count]))}`;
  }
}
customElements.define("cf-figures", Figures);
