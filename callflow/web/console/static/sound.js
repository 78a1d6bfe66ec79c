// The sound of a call: both voices as a waveform with marks, played from here. Its cursor is the moment of the page.
import WaveSurfer from "wavesurfer.js";
import Hover from "wavesurfer.js/plugins/hover.esm.js";
import Regions from "wavesurfer.js/plugins/regions.esm.js";
import Timeline from "wavesurfer.js/plugins/timeline.esm.js";
import { get } from "./api.js";
import { Element, announce, html, nothing } from "./base.js";
import { colour } from "./charts.js";
import { at, duration, precise } from "./format.js";
import { moment, onMoment } from "./moment.js";
import { Player } from "./player.js";
import { laid } from "./recording_parts.js";
import { T } from "./texts.js";

const EVERY = 2000; // ms between two looks at a recording that grows
const TELL = 100; // ms between two moments that are told to the page while it plays
const HEIGHT = 44; // px of each voice
const RATES = [1, 1.5, 2];
const ZOOMS = [0, 5, 20, 100]; // px a second; 0: all of it
const LATE = 5000; // ms between two looks for what the carrier has not made ready yet
const MOST_LATE = 60; // such looks
const AGAIN = 3000; // ms after which what was too much is asked for once more
const ITSELF = "sound";
const dark = matchMedia("(prefers-color-scheme: dark)");

const bytes = (text) => Uint8Array.from(atob(text), (each) => each.charCodeAt(0));

class Sound extends Element {
  static properties = {
    call: {}, sounds: { attribute: false }, seq: {}, isOver: { type: Boolean },
    failed: { state: true }, playing: { state: true }, rate: { state: true }, muted: { state: true }, zoom: { state: true },
    carriers: { state: true }, seconds: { state: true },
  };
  #wave = null;
  #regions = null;
  #player = null;
  #found = new Map(); // by part: {seconds, grows, peaks}
  #timer = 0;
  #carriersTold = -1;
  #late = 0;
  #lateTimer = 0;
  #marked = "";
  #told = 0;
  #asking = null;
  #key = (event) => this.#pressed(event);
  #colours = () => this.#paint();

  constructor() {
    super();
    this.failed = "";
    this.playing = false;
    this.rate = 1;
    this.zoom = 0;
    this.seconds = 0;
    this.muted = [false, false];
    this.carriers = [];
    onMoment(this, () => this.#follow());
  }

  connectedCallback() {
    super.connectedCallback();
    document.addEventListener("keydown", this.#key);
    document.addEventListener("cf-theme", this.#colours);
    dark.addEventListener("change", this.#colours);
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    document.removeEventListener("keydown", this.#key);
    document.removeEventListener("cf-theme", this.#colours);
    dark.removeEventListener("change", this.#colours);
    this.#clear();
  }

  willUpdate(changed) {
    if (changed.has("call") && changed.get("call") !== undefined) this.#clear();
    const { parts, carriers } = this.sounds;
    if (changed.has("call") || parts.some(({ part }) => !this.#found.has(part)) || (changed.has("isOver") && this.isOver)) this.#look();
    if (carriers && (carriers !== this.#carriersTold || changed.has("isOver"))) {
      this.#carriersTold = carriers;
      this.#lookAtCarriers();
    }
  }

  #clear() {
    clearTimeout(this.#timer);
    clearTimeout(this.#lateTimer);
    this.#late = 0;
    this.#asking?.abort();
    this.#asking = null;
    this.#player?.close();
    this.#wave?.destroy();
    this.#player = this.#wave = this.#regions = null;
    this.#found.clear();
    this.#marked = "";
    this.#carriersTold = -1;
    this.carriers = [];
    this.seconds = 0;
    this.playing = false;
    this.failed = "";
  }

  /** Ask for the peaks of the parts that are not known whole; and again, as long as one grows. */
  async #look() {
    clearTimeout(this.#timer);
    if (this.#asking) { this.#asking.again = true; return; }
    const asking = (this.#asking = new AbortController());
    let wait = this.isOver ? 0 : EVERY;
    try {
      for (const { part } of this.sounds.parts) {
        const known = this.#found.get(part);
        if (known && !known.grows) continue;
        const after = known?.peaks ? known.peaks.length / 2 : 0;
        const path = `/api/calls/${encodeURIComponent(this.call)}/recording/peaks?part=${part}&after=${after}`;
        try {
          const more = await get(path, { signal: asking.signal });
          const peaks = new Uint8Array((after + bytes(more.peaks).length / 2) * 2);
          if (known?.peaks) peaks.set(known.peaks);
          peaks.set(bytes(more.peaks), after * 2);
          this.#found.set(part, { seconds: more.seconds, grows: more.grows, peaks });
          if (more.grows) wait = EVERY;
        } catch (error) {
          if (error.name === "AbortError") return;
          // A live recording has no file in its first second; a deleted one has none any more.
          if (error.status === 404) this.#found.set(part, { seconds: 0, grows: !this.isOver, peaks: new Uint8Array() });
          else if (error.status === 503) wait = AGAIN;
          else throw error;
        }
      }
      this.failed = "";
    } catch (error) {
      this.failed = error.message;
    } finally {
      if (this.#asking === asking) {
        this.#asking = null;
        if (asking.again) wait = 1;
        if (wait && this.isConnected) this.#timer = setTimeout(() => (document.hidden ? this.#later() : this.#look()), wait);
        this.#draw();
      }
    }
  }

  #later() { this.#timer = setTimeout(() => (document.hidden ? this.#later() : this.#look()), EVERY); }

  async #lookAtCarriers() {
    try {
      const listed = await get(`/api/recordings?callSid=${encodeURIComponent(this.call)}`);
      this.carriers = listed.filter((each) => each.source === "carrier").reverse();
    } catch { /* a call of an earlier system has none */ }
    clearTimeout(this.#lateTimer);
    const waits = !this.carriers.length || this.carriers.some((each) => each.status === "running");
    if (this.isConnected && this.isOver && waits && (this.#late += 1) < MOST_LATE) {
      this.#lateTimer = setTimeout(() => this.#lookAtCarriers(), LATE);
    }
  }

  get #parts() {
    return this.sounds.parts.filter(({ part }) => this.#found.get(part)?.seconds > 0)
      .map((each) => ({ ...each, ...this.#found.get(each.part) }));
  }

  async #draw() {
    const parts = this.#parts;
    const { seconds, caller, agent } = laid(parts);
    this.seconds = parts.length ? seconds : 0;
    await this.updateComplete;
    const place = this.querySelector(".wave");
    if (!parts.length || !place) return;
    if (!this.#player) {
      this.#player = new Player((part) => `/api/calls/${encodeURIComponent(this.call)}/recording?part=${part}`);
      this.#player.addEventListener("time", () => this.#heard());
      this.#player.addEventListener("state", ({ detail }) => {
        this.playing = this.#player.playing;
        this.failed = detail ? T.sound.failed : "";
        if (detail) announce(T.sound.failed);
        else if (!this.playing) this.#heard(true);
      });
      this.#player.at = Math.min(moment.at ?? 0, seconds);
    }
    this.#player.parts = parts;
    // Quiet voices are drawn larger, all by the same factor.
    let most = 0;
    for (const side of [caller, agent]) for (const each of side) if (each > most) most = each;
    const factor = Math.min(4, 1 / Math.max(most, 0.05));
    const options = { peaks: [caller, agent], duration: seconds, barHeight: factor };
    if (this.#wave) {
      this.#wave.options.barHeight = factor;
      await this.#wave.load("", options.peaks, options.duration).catch(() => {}); // another one came between
    } else {
      this.#regions = Regions.create();
      this.#wave = WaveSurfer.create({
        container: place, height: HEIGHT, cursorWidth: 2, autoCenter: false, dragToSeek: true,
        cspNonce: document.querySelector('meta[name="style-nonce"]')?.content ?? "",
        plugins: [
          this.#regions,
          Timeline.create({ formatTimeCallback: duration, height: 22, secondaryLabelOpacity: 0.6 }),
          Hover.create({ formatTimeCallback: precise, labelSize: 12, lineWidth: 1 }),
        ],
        minPxPerSec: this.zoom, ...this.#palette(), ...options,
      });
      this.#wave.on("interaction", (seconds) => this.#stand(seconds));
      this.#wave.on("ready", () => { this.#marked = ""; this.#mark(); this.#cursor(); });
      this.#regions.on("region-clicked", (region, event) => { event.stopPropagation(); this.#stand(region.start); });
    }
    this.#cursor();
  }

  #palette() {
    const [caller, agent, ink] = ["--accent", "--warm", "--ink"].map((name) => colour(this, name));
    return { splitChannels: [{ waveColor: caller, progressColor: caller }, { waveColor: agent, progressColor: agent }], cursorColor: ink };
  }

  #paint() {
    this.#wave?.setOptions(this.#palette());
    this.#marked = "";
    this.#mark();
  }

  /** Put the marks of the journal where they belong. */
  #mark() {
    if (!this.#wave?.getDecodedData()) return;
    const { marks } = this.sounds;
    const state = JSON.stringify([marks.length, marks.map(({ to }) => to), this.seconds]);
    if (state === this.#marked) return;
    this.#marked = state;
    this.#regions.clearRegions();
    const tints = { interrupted: "--bad", cut: "--bad", failed: "--bad" };
    for (const mark of marks) {
      if (mark.at > this.seconds) continue;
      const tint = colour(this, tints[mark.kind] ?? "--dim");
      const isStretch = mark.to !== undefined;
      const region = this.#regions.addRegion({
        id: mark.key, start: mark.at, ...(isStretch ? { end: Math.min(mark.to ?? this.seconds, this.seconds) } : {}),
        color: isStretch ? tint.replace(/^rgb\(/, "rgba(").replace(/\)$/, ", 0.25)") : tint,
        content: T.sound.marks[mark.kind] || undefined, drag: false, resize: false,
      });
      if (region.element) region.element.title = `${precise(mark.at)} ${mark.text}`;
    }
  }

  updated() { this.#mark(); }

  /** Stand at a moment that was chosen here. */
  #stand(seconds) {
    this.#player?.seek(seconds);
    moment.set(seconds, ITSELF);
    this.#cursor();
  }

  /** It is being played: move the cursor with each frame, and tell the page a little less often. */
  #heard(isLast = false) {
    this.#cursor();
    const now = performance.now();
    if (!isLast && now - this.#told < TELL) return;
    this.#told = now;
    moment.set(this.#player.at, ITSELF);
  }

  #follow() {
    if (moment.source === ITSELF || !this.#player) return;
    if (moment.at !== null) this.#player.seek(moment.at);
    this.#cursor();
  }

  #cursor() {
    if (!this.#player) return;
    const here = this.playing || moment.source === ITSELF ? this.#player.at : Math.min(moment.at ?? this.#player.at, this.seconds);
    if (this.#wave?.getDecodedData()) this.#wave.setTime(here);
    const time = this.querySelector(".sound-time"), seek = this.querySelector(".sound-seek");
    if (time) time.textContent = T.sound.time(precise(here), duration(this.seconds));
    if (seek && document.activeElement !== seek) seek.value = here;
    seek?.setAttribute("aria-valuetext", precise(here));
  }

  #toggle = () => {
    if (!this.#player) return;
    if (this.#player.playing) this.#player.pause();
    else this.#player.play();
  };

  #pressed(event) {
    if (event.key !== " " || event.repeat || event.ctrlKey || event.metaKey || event.altKey || !this.seconds) return;
    if (event.target.closest?.("input, textarea, select, button, a, summary, dialog, audio, [contenteditable]")) return;
    event.preventDefault();
    this.#toggle();
  }

  #faster = () => {
    this.rate = RATES[(RATES.indexOf(this.rate) + 1) % RATES.length];
    this.#player?.setRate(this.rate);
  };

  #mute(side) {
    this.muted = this.muted.map((each, index) => (index === side ? !each : each));
    this.#player?.mute(side, this.muted[side]);
  }

  #zoomed = ({ target }) => {
    this.zoom = Number(target.value);
    this.#wave?.zoom(this.zoom);
    this.#marked = "";
    this.#mark();
  };

  render() {
    const isAny = this.sounds.parts.length > 0;
    return html`<section class="panel sound" aria-labelledby="sound-title">
      <header class="panel-head"><h2 id="sound-title">${T.sound.title}</h2>
        <small class="dim"><span class="key">${T.callerVoice}</span><span class="key two">${T.agentVoice}</span></small></header>
      ${isAny ? this.#own() : nothing}
      ${this.failed ? html`<p class="failed" role="alert">${this.failed} <button type="button" @click=${() => this.#look()}>${T.retry}</button></p>` : nothing}
      ${this.sounds.carriers ? this.#theirs() : nothing}
    </section>`;
  }

  #own() {
    const side = (index, name) => html`<label class="check"><input type="checkbox" .checked=${!this.muted[index]} @change=${() => this.#mute(index)}> ${name}</label>`;
    const gone = !this.seconds && this.isOver && this.sounds.parts.every(({ part }) => this.#found.has(part));
    return html`<div class="wave" aria-hidden="true" ?hidden=${gone}></div>
      ${this.seconds ? nothing : html`<p class="dim">${gone ? T.sound.gone : T.sound.waiting}</p>`}
      <div class="sound-bar" ?hidden=${!this.seconds} role="group" aria-label=${T.sound.title}>
        <button type="button" class="primary" aria-keyshortcuts="Space" @click=${this.#toggle}>${this.playing ? T.sound.pause : T.sound.play}</button>
        <span class="sound-time"></span>
        <input type="range" class="sound-seek" min="0" max=${this.seconds} step="0.05" aria-label=${T.sound.seek} @input=${({ target }) => this.#stand(Number(target.value))}>
        <button type="button" aria-label=${T.sound.rate(this.rate)} @click=${this.#faster}>${this.rate}×</button>
        ${side(0, T.callerVoice)} ${side(1, T.agentVoice)}
        <label class="check">${T.sound.volume} <input type="range" class="volume" min="0" max="1" step="0.05" value="1" @input=${({ target }) => this.#player?.setVolume(Number(target.value))}></label>
        <label class="check">${T.sound.zoom} <select @change=${this.#zoomed}>${ZOOMS.map((each) => html`<option value=${each} ?selected=${each === this.zoom}>${T.sound.zooms[each]}</option>`)}</select></label>
      </div>`;
  }

  #theirs() {
    if (!this.carriers.length) return html`<h3>${T.sound.carriers}</h3><p class="dim">${this.isOver ? T.sound.late : T.sound.later}</p>`;
    return html`<h3>${T.sound.carriers}</h3><ul class="recordings">${this.carriers.map((each) => html`<li>
      <span>${at(each.dateCreated)}${each.duration ? html` · ${duration(each.duration)}` : nothing} · ${T.sound.states[each.status] ?? each.status}${each.reason ? `: ${each.reason}` : ""}</span>
      ${each.mediaUrl ? html`<audio controls preload="none" src=${each.mediaUrl} aria-label=${T.sound.carrierOf(at(each.dateCreated))}></audio>` : nothing}</li>`)}</ul>`;
  }
}
customElements.define("cf-sound", Sound);
