// Plays the recordings of a call, one behind another, on the axis of the call: seconds since it began. The left channel
// is the caller and the right one the agent; each can be muted.

export class Player extends EventTarget {
  /** `{part, at, seconds}` */
  parts = [];
  at = 0;
  playing = false;
  rate = 1;
  volume = 1;
  muted = [false, false];
  #address;
  #audio = new Audio();
  #context = null;
  #gains = [];
  #part = null; // that is loaded
  #loaded = 0; // how long it was then, in seconds
  #frame = 0;

  /** `address`: returns that of a part. */
  constructor(address) {
    super();
    this.#address = address;
    this.#audio.preload = "none";
    this.#audio.addEventListener("ended", () => this.#ended());
    this.#audio.addEventListener("error", () => { if (this.#part) this.#stop("failed"); });
    this.#audio.addEventListener("pause", () => { if (this.playing && !this.#audio.ended) this.#stop(); });
    this.#audio.addEventListener("seeked", () => this.#told());
  }

  get end() { return Math.max(0, ...this.parts.map((each) => each.at + each.seconds)); }

  /** The part that is heard at a moment, or else the next one; undefined: there is none. */
  #here(at) {
    return this.parts.find((each) => at < each.at + each.seconds - 0.01);
  }

  async play() {
    const part = this.#here(this.at) ?? this.parts[0];
    if (!part) return;
    if (this.#here(this.at) === undefined) this.at = 0;
    this.playing = true;
    this.dispatchEvent(new Event("state"));
    try {
      await this.#open();
      await this.#go(part, Math.max(this.at, part.at));
    } catch (error) {
      if (error.name !== "AbortError") this.#stop("failed");
    }
  }

  pause() {
    if (!this.playing) return;
    this.#told();
    this.#stop();
    this.#audio.pause();
  }

  /** Stand at a moment, and play on from there. */
  seek(at) {
    this.at = Math.max(0, Math.min(at, this.end));
    if (!this.playing) return;
    const part = this.#here(this.at);
    if (part) this.#go(part, Math.max(this.at, part.at)).catch(() => {});
    else this.pause();
  }

  setRate(rate) { this.rate = this.#audio.playbackRate = rate; }

  setVolume(volume) { this.volume = this.#audio.volume = volume; }

  mute(side, on) {
    this.muted[side] = on;
    const gain = this.#gains[side];
    if (gain) gain.gain.value = on ? 0 : 1;
  }

  close() {
    this.playing = false;
    cancelAnimationFrame(this.#frame);
    this.#part = null;
    this.#audio.pause();
    this.#audio.removeAttribute("src");
    this.#context?.close();
    this.#context = null;
  }

  /** Both channels go through gains of their own. A page may open its sound only after a click or a key. */
  async #open() {
    if (!this.#context) {
      const context = (this.#context = new AudioContext());
      const splitter = context.createChannelSplitter(2), merger = context.createChannelMerger(2);
      this.#gains = [0, 1].map((side) => {
        const gain = context.createGain();
        gain.gain.value = this.muted[side] ? 0 : 1;
        splitter.connect(gain, side);
        gain.connect(merger, 0, side);
        return gain;
      });
      context.createMediaElementSource(this.#audio).connect(splitter);
      merger.connect(context.destination);
    }
    await this.#context.resume();
  }

  async #go(part, at) {
    if (this.#part?.part !== part.part || at - part.at > this.#loaded - 0.05) {
      this.#loaded = part.seconds;
      // What is behind # makes the browser ask again for one that has grown.
      this.#audio.src = `${this.#address(part.part)}#${part.seconds}`;
    }
    this.#part = part;
    this.#audio.currentTime = at - part.at;
    this.#audio.playbackRate = this.rate;
    this.#audio.volume = this.volume;
    await this.#audio.play();
    cancelAnimationFrame(this.#frame);
    this.#tick();
  }

  #tick = () => {
    if (!this.playing) return;
    this.#told();
    this.#frame = requestAnimationFrame(this.#tick);
  };

  #told() {
    if (!this.#part || this.#audio.seeking) return;
    this.at = this.#part.at + this.#audio.currentTime;
    this.dispatchEvent(new Event("time"));
  }

  #ended() {
    if (!this.playing) return;
    this.at = this.#part.at + this.#audio.currentTime;
    const part = this.#here(this.at + 0.1);
    if (part) this.#go(part, Math.max(this.at, part.at)).catch(() => this.#stop("failed"));
    else {
      this.#told();
      this.#stop();
    }
  }

  #stop(why = "") {
    this.playing = false;
    cancelAnimationFrame(this.#frame);
    if (why) this.#part = null;
    this.dispatchEvent(new CustomEvent("state", { detail: why }));
  }
}
