// Charts of the last hour.
import uPlot from "uplot";
import { get } from "./api.js";
import { Element, html, nothing } from "./base.js";
import { T } from "./texts.js";

const EVERY = 30000; // ms
const HEIGHT = 130; // px
const clock = new Intl.DateTimeFormat(undefined, { hour: "numeric", minute: "2-digit" });
const dark = matchMedia("(prefers-color-scheme: dark)");

/** What a custom property comes to, as a colour that a canvas takes. */
export function colour(element, name) {
  const probe = document.createElement("span");
  probe.style.color = `var(${name})`;
  element.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

class Charts extends Element {
  static properties = { hour: { state: true }, failed: { state: true } };
  #plots = [];
  #timer = 0;
  #sizes = new ResizeObserver(() => this.#resize());
  #redraw = () => this.#draw();

  connectedCallback() {
    super.connectedCallback();
    this.#load();
    this.#timer = setInterval(() => { if (!document.hidden) this.#load(); }, EVERY);
    dark.addEventListener("change", this.#redraw);
    document.addEventListener("cf-theme", this.#redraw);
    this.#sizes.observe(this);
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    clearInterval(this.#timer);
    dark.removeEventListener("change", this.#redraw);
    document.removeEventListener("cf-theme", this.#redraw);
    this.#sizes.disconnect();
    this.#clear();
  }

  async #load() {
    try {
      this.hour = await get("/api/live/hour");
      this.failed = "";
    } catch (error) {
      this.failed = error.message;
    }
  }

  #clear() { for (const plot of this.#plots) plot.destroy(); this.#plots = []; }

  #resize() {
    for (const plot of this.#plots) {
      const width = plot.root.parentElement.clientWidth;
      if (width > 0 && Math.abs(width - plot.width) > 1) plot.setSize({ width, height: HEIGHT });
    }
  }

  updated(changed) { if (changed.has("hour")) this.#draw(); }

  #draw() {
    this.#clear();
    if (!this.hour?.at?.length) return;
    const { at, calls, p50, p95, lag } = this.hour;
    const now = Math.max(at.at(-1), Math.floor(Date.now() / 1000));
    const ink = { text: colour(this, "--dim"), grid: colour(this, "--line"), one: colour(this, "--accent"), two: colour(this, "--warm") };
    const axis = { stroke: ink.text, grid: { stroke: ink.grid, width: 1 }, ticks: { show: false }, font: "11px system-ui" };
    const line = (label, stroke, fill) => ({ label, stroke, fill, width: 1.5, points: { show: at.length < 3 }, spanGaps: false });
    const make = (place, data, series) => {
      const target = this.querySelector(`[data-chart=${place}]`);
      this.#plots.push(new uPlot({
        width: target.clientWidth || 300, height: HEIGHT, legend: { show: false }, cursor: { y: false, points: { size: 6 } },
        scales: { x: { range: () => [now - 3600, now] }, y: { range: (_, low, high) => [0, Math.max(high * 1.1 || 0, 1)] } },
        axes: [{ ...axis, space: 70, size: 26, values: (_, ticks) => ticks.map((tick) => clock.format(tick * 1000)) }, { ...axis, size: 44, space: 28 }],
        series: [{}, ...series],
      }, [at, ...data], target));
    };
    make("calls", [calls], [line(T.charts.calls, ink.one, `color-mix(in srgb, ${ink.one} 18%, transparent)`)]);
    make("latency", [p50, p95], [line(T.charts.p50, ink.one), line(T.charts.p95, ink.two)]);
    make("lag", [lag], [line(T.charts.lag, ink.one)]);
  }

  render() {
    const ended = Object.entries(this.hour?.ended ?? {}).filter(([, count]) => count > 0).sort((a, b) => b[1] - a[1]);
    const most = Math.max(1, ...ended.map(([, count]) => count));
    const isEmpty = this.hour && !this.hour.at?.length;
    const last = (values) => values?.findLast?.((each) => each !== null && each !== undefined);
    const figure = (name, label) => html`
      <figure class="chart">
        <figcaption>${label}${name === "p95" ? html` <span class="key one">${T.charts.p50}</span> <span class="key two">${T.charts.p95}</span>` : nothing}</figcaption>
        <div class="plot" role="img" aria-label=${`${label}: ${last(this.hour?.[name]) ?? T.unknown}`} data-chart=${{ p95: "latency" }[name] ?? name}></div>
      </figure>`;
    return html`
      <section class="panel" aria-labelledby="hour-title">
        <header class="panel-head"><h2 id="hour-title">${T.charts.title}</h2>
          ${this.failed ? html`<p class="failed">${T.charts.failed} ${this.failed}</p>` : nothing}
          ${isEmpty ? html`<p class="dim">${T.charts.empty}</p>` : nothing}
        </header>
        <div class="charts">
          ${figure("calls", T.charts.calls)} ${figure("p95", T.charts.latency)} ${figure("lag", T.charts.lag)}
          <div class="chart"><h3>${T.charts.ended}</h3>
            <ul class="bars">${ended.map(([result, count]) => html`
              <li><span>${result}</span><span class="track"><i .style=${`transform:scaleX(${count / most})`}></i></span><b>${count}</b></li>`)}
            ${ended.length ? nothing : html`<li class="dim">${T.unknown}</li>`}</ul>
          </div>
        </div>
      </section>`;
  }
}
customElements.define("cf-charts", Charts);
