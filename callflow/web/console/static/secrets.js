// Client secrets: made here, copied, and tried out from this browser. One is kept while this element is there, nowhere else.
import { get, post } from "./api.js";
import { html, nothing } from "./base.js";
import { FormPage, may, trouble } from "./form_page.js";
import { T } from "./texts.js";

const S = T.secrets;
const TRY_MS = 10000;

/** Open a session with the secret. Resolves to a sentence; rejects with one. */
function tried(url, model, value) {
  return new Promise((resolve, reject) => {
    const began = performance.now();
    const socket = new WebSocket(`${url}?model=${encodeURIComponent(model)}`, ["realtime", `openai-insecure-api-key.${value}`]);
    const end = (how, sentence) => { clearTimeout(timer); socket.onclose = null; socket.close(); how(sentence); };
    const timer = setTimeout(() => end(reject, new Error(S.silent)), TRY_MS);
    socket.onclose = () => end(reject, new Error(S.refused));
    socket.onmessage = ({ data }) => {
      let event = {};
      try { event = JSON.parse(data); } catch { /* another frame */ }
      if (event.type === "session.created") end(resolve, S.works(event.session?.model ?? model, Math.round(performance.now() - began)));
      else if (event.type === "error") end(reject, new Error(event.error?.message ?? S.refused));
    };
  });
}

class Secrets extends FormPage {
  static properties = { ...FormPage.properties, made: { state: true }, left: { state: true }, trial: { state: true } };
  #tick = 0;

  get heading() { return S.title; }

  get fields() { return { "expires_after.seconds": S.seconds, model: S.model, instructions: S.instructions, "audio.output.voice": S.voice, voice: S.voice }; }

  /** A part of a page: the title is the page's. */
  connectedCallback() { const { title } = document; super.connectedCallback(); document.title = title; }

  async load() {
    const [about, coming] = await Promise.all([get("/api/realtime-token"), get("/api/session")]);
    return { ...about, instructions: coming.session.instructions, voice: coming.settings.voice.value };
  }

  disconnectedCallback() { super.disconnectedCallback(); this.#forget(); }

  #forget() { clearInterval(this.#tick); this.made = null; this.trial = null; }

  #count() {
    this.left = Math.max(0, Math.ceil(this.made.expires_at - Date.now() / 1000));
    if (this.left === 0) { this.#forget(); this.said = S.expired; }
  }

  async #make(event) {
    event.preventDefault();
    const { instructions, voice, model, seconds, more } = event.target.elements;
    let others = {};
    try {
      others = JSON.parse(more.value.trim() || "{}");
    } catch (error) {
      this.refused = new Error(S.noJson(error.message));
      return;
    }
    const session = { type: "realtime", model: model.value.trim(), instructions: instructions.value, ...others };
    if (voice.value.trim()) session.voice = voice.value.trim();
    this.#forget();
    const made = await this.act(() => post("/api/realtime-token", { expires_after: { anchor: "created_at", seconds: Number(seconds.value) }, session }), S.made);
    if (!made) return;
    this.made = { ...made, model: session.model };
    this.#count();
    this.#tick = setInterval(() => this.#count(), 1000);
  }

  async #copy() {
    try {
      await navigator.clipboard.writeText(this.made.value);
      this.said = S.copied;
    } catch {
      this.querySelector("#secret-value").select();
      this.said = S.selected;
    }
  }

  async #try() {
    this.trial = { busy: true };
    try {
      this.trial = { good: await tried(this.data.url, this.made.model, this.made.value) };
    } catch (error) {
      this.trial = { error };
    }
  }

  render() { return this.data ? this.draw() : trouble(this.failed); }

  draw() {
    const { seconds, model, voice, instructions, url } = this.data;
    return html`<section class="panel" aria-labelledby="secrets-title">
      <header class="panel-head"><h2 id="secrets-title">${S.title}</h2><p class="dim">${S.what}</p></header>
      ${may(this.me, "configure") ? html`<form class="sheet" @submit=${this.#make}>
        <label class="whole"><span>${S.instructions}</span><textarea name="instructions" rows="3" dir="auto" .defaultValue=${instructions}></textarea></label>
        <label><span>${S.model}</span><input name="model" required autocomplete="off" .defaultValue=${model}></label>
        <label><span>${S.voice}</span><input name="voice" autocomplete="off" .defaultValue=${voice}></label>
        <label><span>${S.seconds}</span><input name="seconds" type="number" required min=${seconds.least} max=${seconds.most} .defaultValue=${String(seconds.usual)}></label>
        <label class="whole"><span>${S.more}</span><textarea name="more" rows="2" spellcheck="false" dir="ltr" placeholder='{"output_modalities": ["text"]}'></textarea></label>
        <p class="buttons"><button class="primary" ?disabled=${this.busy}>${S.make}</button></p></form>` : html`<p class="empty">${S.mayNot}</p>`}
      ${this.outcome()}
      ${this.made ? html`<div class="secret">
        <label class="whole"><span>${S.value}</span><input id="secret-value" readonly autocomplete="off" spellcheck="false" .value=${this.made.value}></label>
        <p class="buttons"><button type="button" @click=${this.#copy}>${S.copy}</button>
          ${url ? html`<button type="button" ?disabled=${this.trial?.busy} @click=${this.#try}>${S.tryIt}</button>` : nothing}
          <span class="chip" role="timer" aria-live="off">${S.left(this.left)}</span></p>
        ${this.made.warnings?.length ? html`<ul class="lines warning">${this.made.warnings.map((each) => html`<li dir="auto">${each}</li>`)}</ul>` : nothing}
        <div role="status">${this.trial?.busy ? S.trying : this.trial?.good ? html`<p class="good">${this.trial.good}</p>` : nothing}</div>
        ${trouble(this.trial?.error)}</div>` : nothing}</section>`;
  }
}
customElements.define("cf-secrets", Secrets);
