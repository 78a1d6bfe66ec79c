// The cluster: which nodes serve, how full each is, and letting one drain. Nothing is shown where there is none.
import { get, post } from "./api.js";
import { Element, announce, html, nothing, repeat, svg } from "./base.js";
import { at, figure, fully } from "./format.js";
import { confirmed, may, trouble } from "./form_page.js";
import { T } from "./texts.js";

const N = T.nodes;
const EVERY = 2000; // ms, while somebody looks
const LATE = 100; // ms of lag, from which new calls go to others where they can
const MARKS = { up: "ok", draining: "note", silent: "wrong", dead: "wrong" };

/** What a node's state is to people: one whose lease has run out may be declared dead at any moment. */
const stateOf = (node) => (node.state !== "dead" && node.leaseSeconds <= 0 ? "silent" : node.state);

/** How full a node is, as a bar. */
function load({ calls, capacity }) {
  const share = Math.min(1, calls / Math.max(1, capacity));
  return html`<svg class="load" viewBox="0 0 100 1" preserveAspectRatio="none" aria-hidden="true">
    ${svg`<rect class=${share >= 0.9 ? "full" : ""} width=${(share * 100).toFixed(1)} height="1"></rect>`}</svg>`;
}

class Nodes extends Element {
  static properties = {
    me: { attribute: false }, told: { state: true }, failed: { state: true }, refused: { state: true },
    warned: { state: true }, busy: { state: true },
  };
  #timer = 0;
  #asking = null;
  #states = new Map();
  #seen = () => { if (!document.hidden) this.#ask(); };

  connectedCallback() {
    super.connectedCallback();
    document.addEventListener("visibilitychange", this.#seen);
    this.#ask();
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    document.removeEventListener("visibilitychange", this.#seen);
    this.#rest();
  }

  #rest() {
    clearTimeout(this.#timer);
    this.#asking?.abort();
  }

  #again() {
    clearTimeout(this.#timer);
    if (this.isConnected && !document.hidden) this.#timer = setTimeout(() => this.#ask(), EVERY);
  }

  async #ask() {
    this.#rest();
    const asking = (this.#asking = new AbortController());
    try {
      const told = await get("/api/nodes", { signal: asking.signal });
      this.#take(told);
      this.failed = null;
      if (!told.nodes.length) return; // a server that serves alone does so until it begins again
    } catch (error) {
      if (error.name === "AbortError") return;
      this.failed = error;
    }
    this.#again();
  }

  /** Show it, and say which nodes are not as they were. */
  #take(told) {
    const states = new Map(told.nodes.map((node) => [node.name, stateOf(node)]));
    const changed = [...states].filter(([name, state]) => this.#states.size && this.#states.get(name) !== state);
    if (changed.length) announce(changed.map(([name, state]) => `${name}: ${N.states[state] ?? state}`).join("; "));
    this.#states = states;
    this.told = told;
  }

  async #set(node, way) {
    const others = this.told.nodes.some((each) => each.name !== node.name && stateOf(each) === "up");
    const words = way === "resume" ? [N.resumeWords] : others ? [N.drainWords(node.calls)] : [N.drainAlone];
    if (!await confirmed(N.sure[way](node.name), words, [["yes", N[way], way === "drain" ? "danger" : "primary"]])) return;
    this.#rest(); // what was asked before tells how it was before
    this.busy = true;
    this.refused = null;
    this.warned = [];
    try {
      const done = await post(`/api/nodes/${encodeURIComponent(node.name)}/${way}`);
      this.warned = done.warnings;
      this.#take({ ...this.told, nodes: this.told.nodes.map((each) => (each.name === done.node.name ? done.node : each)) });
    } catch (error) {
      this.refused = error;
    } finally {
      this.busy = false;
      this.#again();
    }
  }

  #one(node) {
    const state = stateOf(node);
    const way = node.state === "draining" ? "resume" : "drain";
    const isDead = state === "dead";
    return html`<li data-state=${MARKS[state] ?? "note"} data-node=${node.name}>
      <span class="mark">${N.states[state] ?? state}</span>
      <div class="node-name"><strong>${node.name}</strong>
        ${node.name === this.told.leader ? html`<span class="chip" title=${N.leadsWhat}>${N.leads}</span>` : nothing}</div>
      <div class="node-load">${isDead ? nothing : html`${load(node)}<span>${N.calls(node.calls, node.capacity)}</span>
        <span class=${node.lagMs > LATE ? "late" : "dim"}>${N.lag} ${figure(node.lagMs, N.ms)}</span>`}
        <small class="dim">${isDead ? N.deadWhat : html`${N.since} <time title=${fully(node.startedAt)}>${at(node.startedAt)}</time>`}</small></div>
      ${isDead || !may(this.me, "configure") ? nothing : html`<button type="button" ?disabled=${this.busy}
        aria-label=${N.act(N[way], node.name)} @click=${() => this.#set(node, way)}>${N[way]}…</button>`}
    </li>`;
  }

  #summary() {
    const alive = this.told.nodes.filter((node) => node.state !== "dead");
    const sum = (list, name) => list.reduce((total, node) => total + node[name], 0);
    const up = alive.filter((node) => stateOf(node) === "up");
    return N.summary(up.length, this.told.nodes.length, sum(alive, "calls"), sum(up, "capacity"));
  }

  render() {
    const { told, failed, warned } = this;
    if (!told?.nodes.length) return nothing;
    return html`<section class="panel" aria-labelledby="nodes-title">
      <header class="panel-head"><h2 id="nodes-title">${N.title}</h2><span class="dim" id="nodes-summary">${this.#summary()}</span></header>
      ${failed ? html`<p class="failed">${failed.message} ${T.healthAway}</p>` : nothing}
      ${told.trouble ? html`<p class="failed" role="alert">${N.trouble(told.me, told.trouble)}</p>` : nothing}
      ${trouble(this.refused)}
      ${warned?.length ? html`<p class="warned" role="status">${warned.join(" ")}</p>` : nothing}
      <ul class="findings nodes">${repeat(told.nodes, (node) => node.name, (node) => this.#one(node))}</ul>
    </section>`;
  }
}
customElements.define("cf-nodes", Nodes);
