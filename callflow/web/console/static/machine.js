// The machine's states as a picture, with the way that this call has taken through them.
import { Element, html, nothing, svg } from "./base.js";
import { precise } from "./format.js";
import { lastAt } from "./links.js";
import { EDGES, STATES } from "./machine_table.js";
import { moment, onMoment } from "./moment.js";
import { T } from "./texts.js";

const SIZE = { width: 340, height: 272 };
const BOX = { width: 92, height: 28 };
const PLACES = { ringing: [54, 20], answered: [54, 88], streaming: [54, 158], recovering: [170, 158], transferring: [278, 60], bridged: [278, 128], hangup: [170, 246] };
/** Where an edge bends, where a straight one would run through another state. */
const BENDS = { "ringing hangup": [-42, 190], "answered hangup": [-24, 214], "transferring hangup": [352, 190], "ringing streaming": [116, 90] };
const ASIDE = 12; // px by which an edge leaves room for the one in the other direction

/** Where the line from a point outside to the middle of a state meets its box. */
function border([x, y], [fromX, fromY]) {
  const [dx, dy] = [fromX - x, fromY - y];
  const part = Math.min(BOX.width / 2 / Math.max(0.001, Math.abs(dx)), BOX.height / 2 / Math.max(0.001, Math.abs(dy)));
  return [x + dx * part, y + dy * part];
}

/** Where each state stands; one that this page does not know stands in a row at the bottom. */
const places = new Map(STATES.map((name, index) => [name, PLACES[name] ?? [54 + 108 * (index % 3), SIZE.height - 14]]));

function shape([from, to]) {
  const [start, end] = [places.get(from), places.get(to)];
  const [dx, dy] = [end[0] - start[0], end[1] - start[1]];
  const length = Math.hypot(dx, dy);
  const aside = EDGES.some((other) => other[0] === to && other[1] === from) ? ASIDE * 2 : 0;
  const bend = BENDS[`${from} ${to}`] ?? [(start[0] + end[0]) / 2 - (dy * aside) / length, (start[1] + end[1]) / 2 + (dx * aside) / length];
  const [first, last] = [border(start, bend), border(end, bend)];
  const angle = Math.atan2(last[1] - bend[1], last[0] - bend[0]);
  const corner = (turn) => `${last[0] - 8 * Math.cos(angle + turn)} ${last[1] - 8 * Math.sin(angle + turn)}`;
  return { line: `M${first.join(" ")}Q${bend.join(" ")} ${last.join(" ")}`, head: `M${last.join(" ")}L${corner(0.4)}L${corner(-0.4)}z` };
}

const SHAPES = EDGES.map(shape);

class Machine extends Element {
  static properties = { path: { attribute: false, hasChanged: () => true } };
  #told = "";

  constructor() {
    super();
    onMoment(this, () => { if (this.#key() !== this.#told) this.requestUpdate(); });
  }

  /** The place in the path at which the call is at the moment. */
  #index() { return moment.at === null ? this.path.length - 1 : Math.max(0, lastAt(this.path, moment.at)); }

  #key() { return `${this.path.length} ${this.#index()}`; }

  shouldUpdate() { return this.#key() !== this.#told; }

  #go(state) {
    const index = this.path.slice(0, this.#index() + 1).findLastIndex((each) => each.state === state);
    const found = this.path[index] ?? this.path.find((each) => each.state === state);
    if (found) moment.set(found.at, "machine");
  }

  render() {
    this.#told = this.#key();
    const now = this.#index();
    const gone = this.path.slice(0, now + 1);
    const passed = new Set(gone.map((each) => each.state));
    const steps = new Map();
    for (let index = 1; index < gone.length; index += 1) {
      const name = `${gone[index - 1].state} ${gone[index].state}`;
      steps.set(name, (steps.get(name) ?? 0) + 1);
    }
    const named = (state) => T.states[state] ?? state;
    return html`
      <svg class="machine" viewBox="0 0 ${SIZE.width} ${SIZE.height}" role="img" aria-label=${T.machine.told(gone.map((each) => named(each.state)))}>
        ${EDGES.map(([from, to, triggers], index) => {
          const times = steps.get(`${from} ${to}`);
          return svg`<g class="edge ${times ? "is-passed" : ""} ${to === "hangup" ? "is-end" : ""}"><title>${T.machine.edge(named(from), named(to), triggers, times)}</title>
            <path class="wide" d=${SHAPES[index].line}></path><path class="line" d=${SHAPES[index].line}></path><path class="head" d=${SHAPES[index].head}></path></g>`;
        })}
        ${STATES.map((state) => {
          const [x, y] = places.get(state);
          return svg`<g class="node ${passed.has(state) ? "is-passed" : ""} ${gone.at(-1)?.state === state ? "is-now" : ""}" data-state=${state} @click=${() => this.#go(state)}>
            <rect x=${x - BOX.width / 2} y=${y - BOX.height / 2} width=${BOX.width} height=${BOX.height} rx="8"></rect><text x=${x} y=${y + 4}>${named(state)}</text></g>`;
        })}
      </svg>
      <ol class="path">${this.path.map((each, index) => html`
        <li class=${index === now ? "is-last" : ""} data-state=${each.state} aria-current=${index === now && moment.at !== null ? "step" : nothing}><span>${named(each.state)}</span>
          <button type="button" class="at" @click=${() => moment.set(each.at, "machine")}>${precise(each.at)}</button>
          <small class="dim">${index < this.path.length - 1 ? `${(this.path[index + 1].at - each.at).toFixed(1)} s` : ""}</small></li>`)}</ol>`;
  }
}
customElements.define("cf-machine", Machine);
