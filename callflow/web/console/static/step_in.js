// How an operator steps into one live call beside its line: whisper to the model, answer a tool that waits for a person,
// other instructions, transfer.
import { get, post } from "./api.js";
import { Element, announce, html, nothing, repeat } from "./base.js";
import { pretty } from "./format.js";
import { named } from "./named.js";
import "./picture.js";
import { T } from "./texts.js";

const S = T.stepIn;

/** What is sent for an answer: JSON as it is, anything else as text, such as a long number, which would be rounded. */
function output(text) {
  try {
    const value = JSON.parse(text);
    return typeof value === "number" && String(value) !== text ? text : value;
  } catch { return text; }
}

class StepIn extends Element {
  static properties = {
    call: {}, mayAct: { type: Boolean }, isOver: { type: Boolean }, asked: { attribute: false }, began: { attribute: false }, wereRung: { attribute: false },
    said: { state: true }, failed: { state: true }, busy: { state: true }, targets: { state: true },
  };
  #timer = 0;
  #told = new Set();
  #rungBefore = Infinity; // how many were, when the last one who is rung was asked for

  constructor() {
    super();
    this.asked = [];
    this.wereRung = 0;
    this.targets = null;
  }

  connectedCallback() {
    super.connectedCallback();
    this.#timer = setInterval(() => this.#tick(), 500);
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    clearInterval(this.#timer);
  }

  willUpdate(changed) {
    if (changed.has("call")) {
      this.said = this.failed = "";
      this.targets = null;
    }
    if (this.wereRung > this.#rungBefore && this.said.startsWith(S.transferring)) this.said = "";
  }

  updated() {
    this.#tick();
    for (const tool of this.asked) {
      if (!this.#told.has(tool.id)) announce(`${S.asks} ${tool.name}`);
      this.#told.add(tool.id);
    }
  }

  /** How long each tool still waits, without drawing anything anew. */
  #tick() {
    for (const place of this.querySelectorAll("[data-until]")) {
      const text = S.left(Math.max(0, Math.ceil(Number(place.dataset.until) - Date.now() / 1000)));
      if (place.textContent !== text) place.textContent = text;
    }
  }

  async #act(path, body, done, labels = {}) {
    this.busy = true;
    this.said = this.failed = "";
    try {
      const answer = await post(`/api/calls/${encodeURIComponent(this.call)}/${path}`, body);
      this.said = [done, ...(answer.warnings ?? [])].join(" ");
      announce(this.said);
      return true;
    } catch (error) {
      this.failed = named(error, labels).message;
      announce(error.message);
      return false;
    } finally {
      this.busy = false;
    }
  }

  #whisper = async (event) => {
    event.preventDefault();
    const { text, now } = event.target.elements;
    if (!text.value.trim()) return;
    if (await this.#act("whisper", { text: text.value.trim(), now: now.checked }, now.checked ? S.whisperedNow : S.whispered, { text: S.whisperHint, now: S.now })) text.value = "";
  };

  #instruct = async (event) => {
    event.preventDefault();
    const { text } = event.target.elements;
    if (text.value.trim() && await this.#act("session", { instructions: text.value.trim() }, S.instructed, { instructions: S.instructions })) text.value = "";
  };

  #transfer = async (event) => {
    event.preventDefault();
    const { to, summary } = event.target.elements;
    if (!to.value.trim()) return;
    const told = summary.value.trim();
    this.#rungBefore = this.wereRung;
    await this.#act("transfer", { to: to.value.trim(), ...(told ? { summary: told } : {}) }, S.transferring, { to: S.to, summary: S.summary });
  };

  #answer(event, tool) {
    event.preventDefault();
    const { text } = event.target.elements;
    const refuse = event.submitter?.value === "error";
    if (!text.value.trim()) { text.focus(); return; }
    const body = refuse ? { error: text.value.trim() } : { output: output(text.value.trim()) };
    this.#act(`tools/${encodeURIComponent(tool.id)}`, body, S.answered);
  }

  #opened = async (event) => {
    if (!event.target.open || this.targets) return;
    try {
      this.targets = (await get(`/api/calls/${encodeURIComponent(this.call)}/acts`)).targets;
    } catch (error) {
      this.failed = error.message;
    }
  };

  #waiting(tool) {
    return html`<li class="waiting">
      <header><b>${S.asks}</b> <code>${tool.name}</code><span class="left" data-until=${this.began + tool.until}></span></header>
      <pre>${pretty(tool.args)}</pre>
      <form @submit=${(event) => this.#answer(event, tool)}>
        <input name="text" class="grow" dir="auto" autocomplete="off" placeholder=${S.answerHint} aria-label=${S.answerHint}>
        <button class="primary" value="output" ?disabled=${this.busy}>${S.answer}</button>
        <button value="error" ?disabled=${this.busy}>${S.refuse}</button>
      </form></li>`;
  }

  render() {
    if (this.isOver || !this.mayAct) return nothing;
    return html`
      ${this.asked.length ? html`<ul class="asks">${repeat(this.asked, (tool) => tool.id, (tool) => this.#waiting(tool))}</ul>` : nothing}
      <div class="acts" role="group" aria-label=${S.title}>
        <form class="grow" @submit=${this.#whisper}>
          <input name="text" dir="auto" maxlength="1000" autocomplete="off" placeholder=${S.whisperHint} aria-label=${S.whisperHint}>
          <label class="check"><input type="checkbox" name="now">${S.now}</label>
          <button ?disabled=${this.busy}>${S.whisper}</button>
        </form>
      </div>
      <details class="more" @toggle=${this.#opened}>
        <summary>${S.more}</summary>
        <form @submit=${this.#instruct}>
          <label>${S.instructions}<textarea name="text" rows="3" dir="auto" maxlength="20000"></textarea></label>
          <button ?disabled=${this.busy}>${S.instruct}</button>
        </form>
        <form @submit=${this.#transfer}>
          <label>${S.to}<input name="to" list="cf-targets" autocomplete="off" dir="auto"></label>
          <datalist id="cf-targets">${(this.targets ?? []).map((name) => html`<option value=${name}></option>`)}</datalist>
          <label class="grow">${S.summary}<input name="summary" maxlength="1000" autocomplete="off" dir="auto"></label>
          <button ?disabled=${this.busy}>${S.transfer}</button>
          <small class="dim">${this.targets ? S.targets(this.targets) : ""}</small>
        </form>
        <cf-picture .call=${this.call}></cf-picture>
      </details>
      <p class="acts-note ${this.failed ? "failed" : "dim"}">${this.failed || this.said || nothing}</p>`;
  }
}
customElements.define("cf-step-in", StepIn);
