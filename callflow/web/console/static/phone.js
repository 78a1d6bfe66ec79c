// The phone: rings this server from the page, with the microphone, the keypad, and the call's own page a click away.
import { get } from "./api.js";
import { Element, announce, callAddress, html, nothing } from "./base.js";
import { duration } from "./format.js";
import { live } from "./live.js";
import { T } from "./texts.js";

const KEYS = [..."123456789*0#"];

class Phone extends Element {
  static properties = {
    me: { attribute: false }, about: { state: true }, isOpen: { state: true }, state: { state: true },
    failed: { state: true }, muted: { state: true }, call: { state: true }, pressed: { state: true },
  };
  #socket = null;
  #context = null;
  #stream = null;
  #node = null;
  #number = "";
  #asked = "";
  #attempt = null;
  #answered = 0;
  #timer = 0;
  #row = null;
  #find = () => {
    this.#row = (this.#number && this.#isBusy && live.rows().find((each) => each.from === this.#number)) || null;
    if (this.#row) { this.call = this.#row.id; this.requestUpdate(); }
  };

  constructor() {
    super();
    this.state = "idle"; // asking, ringing, talking, over
    this.failed = this.call = this.pressed = "";
    this.isOpen = this.muted = false;
    this.about = null;
  }

  async connectedCallback() {
    super.connectedCallback();
    live.addEventListener("change", this.#find);
    try {
      const about = await get("/api/phone");
      this.about = about.available ? about : null;
    } catch { this.about = null; }
  }

  get #said() { return (this.state === "over" && T.phone.endedBy[this.endedBy]) || T.phone.states[this.state]; }

  get #isBusy() { return ["asking", "ringing", "talking"].includes(this.state); }

  #ring = async (event) => {
    event?.preventDefault();
    const asked = new URLSearchParams(event?.target ? new FormData(event.target) : {});
    for (const [name, value] of [...asked]) if (!value.trim()) asked.delete(name);
    this.#asked = asked.size ? `?${asked}` : "";
    this.failed = this.call = this.pressed = this.endedBy = this.#number = "";
    this.muted = false;
    this.state = "asking";
    const attempt = this.#attempt = {}; // somebody may give up and ring again while the microphone is asked for
    let microphone = null;
    const letGo = () => microphone?.then((stream) => stream.getTracks().forEach((track) => track.stop()), () => {});
    try {
      if (!navigator.mediaDevices) throw new Error(T.phone.insecure);
      const context = this.#context = new AudioContext({ latencyHint: "interactive" });
      const sound = { echoCancellation: true, noiseSuppression: true, autoGainControl: true, channelCount: 1 };
      microphone = navigator.mediaDevices.getUserMedia({ audio: sound });
      const [stream] = await Promise.all([
        microphone,
        context.audioWorklet.addModule(new URL("phone-worklet.js", import.meta.url)),
      ]);
      if (attempt !== this.#attempt) { letGo(); return; }
      this.#stream = stream;
      this.#connect();
      await context.resume();
    } catch (error) {
      letGo();
      if (attempt !== this.#attempt) return;
      this.failed = error.name === "NotAllowedError" ? T.phone.denied : error.name === "NotFoundError" ? T.phone.none : error.message;
      this.#end("idle");
    }
  };

  #connect() {
    const node = this.#node = new AudioWorkletNode(this.#context, "cf-phone", { outputChannelCount: [1] });
    const socket = this.#socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/api/phone${this.#asked}`);
    socket.binaryType = "arraybuffer";
    node.port.onmessage = ({ data }) => {
      if (!(data instanceof ArrayBuffer)) this.#show(data.levels);
      else if (socket.readyState === WebSocket.OPEN && socket.bufferedAmount < 8000) socket.send(data);
    };
    socket.onmessage = ({ data }) => {
      if (data instanceof ArrayBuffer) node.port.postMessage(data, [data]);
      else this.#told(JSON.parse(data));
    };
    socket.onclose = (event) => {
      if (socket !== this.#socket) return;
      if (event.reason) this.failed = event.reason;
      else if (this.state !== "over") this.failed = T.phone.lost;
      this.#end("over");
    };
    this.#context.createMediaStreamSource(this.#stream).connect(node).connect(this.#context.destination);
  }

  #told(what) {
    if (what.type === "ringing") {
      this.#number = what.from;
      this.state = "ringing";
      announce(T.phone.states.ringing);
    } else if (what.type === "answered") {
      this.#answered = Date.now() / 1000;
      this.state = "talking";
      this.#timer = setInterval(() => this.requestUpdate(), 1000);
      announce(T.phone.states.talking);
    } else if (what.type === "over") {
      this.endedBy = what.by;
      this.#end("over");
      announce(this.#said);
    }
  }

  /** How loud both are, past the template: it comes twelve times a second. */
  #show(levels) {
    const meters = this.querySelectorAll(".meter > i");
    levels.forEach((level, n) => { if (meters[n]) meters[n].style.transform = `scaleX(${Math.min(1, level * 1.5).toFixed(2)})`; });
    if (this.#isBusy && levels[1] > 0.02) this.dataset.heard = "yes";
  }

  #close() {
    clearInterval(this.#timer);
    this.#attempt = null;
    this.#socket?.close();
    this.#stream?.getTracks().forEach((track) => track.stop());
    this.#context?.close();
    this.#socket = this.#stream = this.#context = this.#node = null;
  }

  #end(state) {
    this.state = state;
    this.#row = null;
    this.#close();
  }

  #hangUp() {
    if (this.#socket?.readyState === WebSocket.OPEN && this.state !== "asking") this.#socket.send(JSON.stringify({ type: "hangup" }));
    else this.#end("idle");
  }

  #press(digit) {
    if (this.state !== "talking") return;
    this.#socket.send(JSON.stringify({ type: "press", digit }));
    this.pressed = (this.pressed + digit).slice(-16);
  }

  #mute() {
    this.muted = !this.muted;
    this.#node?.port.postMessage({ muted: this.muted });
  }

  /** Before the ring: which number, and from which; with a sentence instead where a token is needed first. */
  #before() {
    const { about } = this;
    if (about.needs_token) return html`<p class="failed">${T.phone.needsToken}</p>`;
    return html`<form @submit=${this.#ring}>
      ${about.numbers.length ? html`<label>${T.phone.to}<select name="to"><option value="">${T.phone.standard}</option>
        ${about.numbers.map((each) => html`<option value=${each.to}>${T.phone.numberOf(each.profile, each.to)}</option>`)}</select></label>` : nothing}
      <details><summary>${T.phone.more}</summary><label>${T.phone.from}<input name="from" type="tel" autocomplete="off" pattern="\\+?[0-9]{3,15}"
        placeholder=${T.phone.anyNumber} title=${T.phone.fromHint}></label></details>
      <button class="primary">${T.phone.ring}</button></form>`;
  }

  /** What the call's own page says of it, in short. */
  #beside() {
    const row = this.#row;
    if (!row) return nothing;
    const told = [row.profile, T.speaking[row.speaking], typeof row.latency_ms === "number" ? `${T.columns.latency} ${T.latencyOf(row.latency_ms)}` : "", ...(row.warnings ?? [])];
    return html`<p class="dim beside">${told.filter(Boolean).join(" · ")}</p>`;
  }

  render() {
    if (!this.about || !["operate", "configure"].includes(this.me?.role)) return nothing;
    const time = this.state === "talking" ? ` ${duration(Date.now() / 1000 - this.#answered)}` : "";
    return html`
      <button type="button" class="phone-open ${this.#isBusy ? "primary" : ""}" aria-expanded=${this.isOpen}
        @click=${() => { this.isOpen = !this.isOpen; }}>☎ ${this.#isBusy ? html`${T.phone.states[this.state]}${time}` : T.phone.title}</button>
      <section class="phone panel" aria-label=${T.phone.title} ?hidden=${!this.isOpen} data-state=${this.state}
        @keydown=${(event) => { if (KEYS.includes(event.key)) this.#press(event.key); }}>
        <header><h2>${T.phone.title}</h2><span role="status">${this.#said}${time}</span></header>
        <p class="dim">${this.about.model === "emulated" ? T.phone.emulated : T.phone.real(this.about.model)}</p>
        ${[T.phone.you, T.phone.line].map((name, n) => html`<span class="voice ${n ? "agent" : "caller"}"><small>${name}</small><span class="meter"><i></i></span></span>`)}
        <div class="keypad" role="group" aria-label=${T.phone.keypad}>
          ${KEYS.map((key) => html`<button type="button" ?disabled=${this.state !== "talking"} @click=${() => this.#press(key)}>${key}</button>`)}
        </div>
        ${this.#beside()}
        ${this.pressed ? html`<p class="dim" dir="ltr">${this.pressed}</p>` : nothing}
        <div class="buttons">
          ${this.#isBusy
            ? html`<button type="button" class="danger" @click=${() => this.#hangUp()}>${T.phone.hangUp}</button>
              <button type="button" aria-pressed=${this.muted} @click=${() => this.#mute()}>${T.phone.mute}</button>`
            : this.#before()}
          ${this.call ? html`<a class="button" href=${callAddress(this.call)}>${T.phone.toCall}</a>` : nothing}
        </div>
        ${this.failed ? html`<p class="failed" role="alert">${this.failed}</p>` : nothing}
      </section>`;
  }
}
customElements.define("cf-phone", Phone);
