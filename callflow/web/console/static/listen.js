// Listen to a live call; and, by a second and different act, speak to the caller in place of the agent.
import { Element, announce, html, nothing } from "./base.js";
import { T } from "./texts.js";

const HOLD = 800; // ms for which the button that takes over is held
const worklet = (name) => new URL(name, import.meta.url).href;

const EVERY = 400, LONGEST = 15_000; // ms: how often, and for how long, a call is looked for that has changed its process
const NO_CALL = 4404, MOVED = 4412, CUT = [1006, 1011, 1012, MOVED]; // codes of sockets: `web/console/listen.py`

/** The socket of a live call, opened again while the call goes from one process to another, or the connection is lost. */
class Line {
  #at; #on; #socket; #timer = 0; #until = 0; #isOpen = true;

  /** `on`: `told(data)`, `again()` when it is being looked for, and `over({ code, reason })`, once. */
  constructor(call, what, on) {
    this.#at = new URL(`/api/calls/${encodeURIComponent(call)}/${what}`, location.href);
    this.#at.protocol = this.#at.protocol === "https:" ? "wss:" : "ws:";
    this.#on = on;
    this.#open();
  }

  #open() {
    const made = this.#socket = new WebSocket(this.#at);
    made.binaryType = "arraybuffer";
    made.onmessage = ({ data }) => {
      if (!this.#isOpen) return;
      this.#until = Infinity;
      this.#on.told(data);
    };
    made.onclose = ({ code, reason }) => {
      if (!this.#isOpen) return;
      const now = performance.now();
      const isCut = CUT.includes(code) || (code === 1001 && !reason) || (code === NO_CALL && this.#until !== Infinity);
      if (this.#until === Infinity && isCut) {
        this.#until = now + LONGEST;
        this.#at.searchParams.set("again", "");
        this.#on.again();
      }
      if (isCut && now < this.#until) this.#timer = setTimeout(() => this.#open(), EVERY);
      else this.#on.over({ code, reason });
    };
  }

  send(data) {
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send(data);
  }

  close() {
    this.#isOpen = false;
    clearTimeout(this.#timer);
    this.#socket.close();
  }
}

class Listen extends Element {
  static properties = {
    call: {}, mayAct: { type: Boolean }, isOver: { type: Boolean },
    state: { state: true }, speaks: { state: true }, failed: { state: true }, holding: { state: true }, muted: { state: true }, writtenDown: { state: true },
  };
  #ear = null;
  #voice = null;
  #timer = 0;

  constructor() {
    super();
    this.state = this.speaks = "off";
    this.failed = "";
    this.writtenDown = true;
    this.muted = [false, false];
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    this.#stop();
    this.#silence();
  }

  willUpdate(changed) {
    if (changed.has("call") && changed.get("call") !== undefined) { this.#stop(); this.#silence(); }
    if (this.isOver && this.state !== "off") this.#stop();
    if (this.isOver && this.speaks !== "off") this.#silence();
  }

  #listen = async () => {
    this.failed = "";
    this.state = "connecting";
    const context = new AudioContext({ sampleRate: 8000 });
    const ear = this.#ear = { context, socket: null };
    try {
      await context.audioWorklet.addModule(worklet("./listen-worklet.js"));
      if (this.#ear !== ear) return;
      ear.player = new AudioWorkletNode(context, "cf-player", { numberOfInputs: 0, outputChannelCount: [2] });
      ear.player.connect(context.destination);
      ear.player.port.onmessage = ({ data }) => this.#levels(data);
      ear.player.port.postMessage({ muted: this.muted });
      ear.socket = new Line(this.call, "listen", {
        told: (data) => {
          if (typeof data !== "string") ear.player.port.postMessage(data, [data]);
          else { this.state = "on"; announce(T.listen.on); }
        },
        again: () => { this.state = "again"; announce(T.listen.again); },
        over: ({ reason }) => {
          this.#stop();
          if (!this.isOver) this.failed = reason || T.listen.lost;
        },
      });
    } catch (error) {
      this.#stop();
      this.failed = error.message;
    }
  };

  #stop = () => {
    const ear = this.#ear;
    this.#ear = null;
    this.state = "off";
    ear?.socket?.close();
    if (ear && ear.context.state !== "closed") ear.context.close();
  };

  #levels(peaks) {
    for (const [side, peak] of peaks.entries()) {
      const meter = this.querySelector(`meter[data-side="${side}"]`);
      if (meter) meter.value = peak;
    }
  }

  #mute(side) {
    this.muted = this.muted.map((each, index) => (index === side ? !each : each));
    this.#ear?.player?.port.postMessage({ muted: this.muted });
  }

  // Take over: the button is held, so that no slip of the hand opens the microphone.
  #press = () => {
    if (this.speaks !== "off" || this.#timer) return;
    this.holding = true;
    this.#timer = setTimeout(() => { this.#release(); this.#speak(); }, HOLD);
  };

  #release = () => {
    clearTimeout(this.#timer);
    this.#timer = 0;
    this.holding = false;
  };

  #key = (event) => {
    if (event.key !== " " && event.key !== "Enter") return;
    event.preventDefault();
    if (event.type === "keyup") this.#release();
    else if (!event.repeat) this.#press();
  };

  #speak = async () => {
    this.failed = "";
    this.speaks = "connecting";
    const voice = this.#voice = {};
    try {
      voice.stream = await navigator.mediaDevices.getUserMedia({ audio: { echoCancellation: true, noiseSuppression: true, autoGainControl: true } });
      if (this.#voice !== voice) { this.#end(voice); return; }
      voice.context = new AudioContext();
      await voice.context.audioWorklet.addModule(worklet("./microphone-worklet.js"));
      if (this.#voice !== voice) { this.#end(voice); return; }
      voice.socket = new Line(this.call, "takeover", {
        told: (data) => this.#told(JSON.parse(data)),
        again: () => { this.speaks = "again"; announce(T.listen.again); },
        over: ({ code, reason }) => {
          this.#silence();
          if (code === 1000) announce(voice.gives ? T.listen.givenBack : reason || T.listen.movedOn);
          else this.failed = reason || T.listen.voiceLost;
        },
      });
      const node = new AudioWorkletNode(voice.context, "cf-microphone", { numberOfOutputs: 0 });
      node.port.onmessage = ({ data }) => { if (this.speaks === "on") voice.socket.send(data); };
      voice.context.createMediaStreamSource(voice.stream).connect(node);
    } catch (error) {
      this.#silence();
      this.failed = error.name === "NotAllowedError" ? T.listen.noMicrophone : error.message;
    }
  };

  /** What the server says while this person speaks. */
  #told(what) {
    if (what.taken_over) {
      if (this.speaks !== "on") announce(T.listen.speaking);
      else if (!what.written_down) announce(T.listen.lineNeeded);
      this.speaks = "on";
      this.writtenDown = what.written_down;
    } else if (what.line_needed) {
      this.failed = what.line_needed;
      this.#voice.gives = false;
      announce(what.line_needed);
      this.querySelector("input[name=line]")?.focus();
    }
  }

  #giveBack = (event) => {
    event.preventDefault();
    const line = event.target.elements.line.value.trim();
    if (!this.#voice?.socket) return;
    this.failed = "";
    this.#voice.gives = true;
    this.#voice.socket.send(JSON.stringify({ give_back: true, line }));
  };

  #silence() {
    this.#release();
    const voice = this.#voice;
    this.#voice = null;
    this.speaks = "off";
    if (voice) this.#end(voice);
  }

  #end(voice) {
    voice.socket?.close();
    voice.stream?.getTracks().forEach((track) => track.stop());
    if (voice.context && voice.context.state !== "closed") voice.context.close();
  }

  render() {
    if (this.isOver || !this.mayAct) return nothing;
    const on = this.state !== "off";
    const side = (index, name) => html`<label><input type="checkbox" .checked=${!this.muted[index]} @change=${() => this.#mute(index)}> ${name}
      <meter data-side=${index} min="0" max="1" value="0" aria-label=${T.listen.level(name)}></meter></label>`;
    return html`<div class="acts listen" role="group" aria-label=${T.listen.title}>
        <button type="button" aria-pressed=${on} @click=${on ? this.#stop : this.#listen}>${on ? T.listen.stop : T.listen.start}</button>
        ${on ? html`${side(0, T.callerVoice)} ${side(1, T.agentVoice)} ${this.state === "again" ? html`<small>${T.listen.again}</small>` : nothing}` : nothing}
        ${this.speaks === "off"
          ? html`<button type="button" class="danger ${this.holding ? "is-held" : ""}" @pointerdown=${this.#press} @pointerup=${this.#release}
              @pointerleave=${this.#release} @keydown=${this.#key} @keyup=${this.#key} @blur=${this.#release}>${T.listen.takeOver}</button>`
          : html`<form class="grow" @submit=${this.#giveBack}><strong class="failed">${{ on: T.listen.speaking, again: T.listen.again }[this.speaks] ?? T.listen.opening}</strong>
              <input name="line" dir="auto" maxlength="1000" autocomplete="off" ?required=${!this.writtenDown}
                placeholder=${this.writtenDown ? T.listen.lineHint : T.listen.lineNeeded} aria-label=${this.writtenDown ? T.listen.lineHint : T.listen.lineNeeded}>
              <button ?disabled=${this.speaks !== "on"}>${T.listen.giveBack}</button></form>`}
      </div>
      ${this.failed ? html`<p class="acts-note failed">${this.failed}</p>` : nothing}`;
  }
}
customElements.define("cf-listen", Listen);
