// The sound of the phone, beside the page's own thread: the microphone to µ-law at 8 kHz, and back to the speaker.
const RATE = 8000, FRAME = 160;
const START = 640, MOST = 3200; // samples of 8 kHz: 80 ms are kept before it plays, and more than 400 ms are dropped

/** Band-limited conversion between two rates: a windowed sinc, with whatever of the past it needs kept. */
class Resampler {
  constructor(from, to) {
    this.step = from / to;
    this.cut = Math.min(1, to / from) * 0.92;
    this.half = Math.ceil(8 / this.cut);
    this.past = new Float32Array(2 * this.half);
    this.at = this.half;
  }

  take(input) {
    const all = new Float32Array(this.past.length + input.length);
    all.set(this.past);
    all.set(input, this.past.length);
    const out = [];
    while (this.at + this.half < all.length) {
      const middle = Math.floor(this.at);
      let sum = 0;
      for (let n = middle - this.half + 1; n <= middle + this.half; n++) {
        const x = this.at - n, p = Math.PI * x * this.cut;
        const window = 0.5 + 0.5 * Math.cos(Math.PI * x / (this.half + 1));
        sum += all[n] * window * this.cut * (x === 0 ? 1 : Math.sin(p) / p);
      }
      out.push(sum);
      this.at += this.step;
    }
    const gone = Math.max(0, Math.floor(this.at) - this.half);
    this.past = all.slice(gone);
    this.at -= gone;
    return out;
  }
}

const DECODED = Float32Array.from({ length: 256 }, (_, code) => {
  const c = ~code & 0xff;
  const size = ((((c & 15) << 3) + 0x84) << ((c >> 4) & 7)) - 0x84;
  return (c & 0x80 ? -size : size) / 32768;
});

function encoded(value) {
  let sample = Math.round(value * 32767);
  const sign = sample < 0 ? 0x80 : 0;
  sample = Math.min(32635, Math.abs(sample)) + 0x84;
  const exponent = Math.max(0, 24 - Math.clz32(sample));
  return ~(sign | (exponent << 4) | ((sample >> (exponent + 3)) & 15)) & 0xff;
}

class Phone extends AudioWorkletProcessor {
  constructor() {
    super();
    this.down = new Resampler(sampleRate, RATE);
    this.up = new Resampler(RATE, sampleRate);
    this.frame = new Uint8Array(FRAME);
    this.filled = 0;
    this.coming = []; // Float32Array, of 8 kHz
    this.waiting = 0;
    this.ready = []; // samples of this context's rate
    this.plays = false;
    this.muted = false;
    this.loud = [0, 0];
    this.blocks = 0;
    this.port.onmessage = ({ data }) => {
      if (data instanceof ArrayBuffer) this.hear(new Uint8Array(data));
      else this.muted = Boolean(data.muted);
    };
  }

  hear(codes) {
    this.coming.push(Float32Array.from(codes, (code) => DECODED[code]));
    this.waiting += codes.length;
    if (this.waiting > MOST) while (this.waiting > START) this.waiting -= this.coming.shift().length;
    if (this.waiting >= START) this.plays = true;
  }

  process([input], [output]) {
    const said = input[0];
    if (said) {
      let peak = 0;
      for (const value of this.down.take(said)) {
        const sample = this.muted ? 0 : value;
        peak = Math.max(peak, Math.abs(sample));
        this.frame[this.filled++] = encoded(sample);
        if (this.filled === FRAME) {
          this.port.postMessage(this.frame.slice().buffer);
          this.filled = 0;
        }
      }
      this.loud[0] = Math.max(this.loud[0], peak);
    }
    const heard = output[0];
    while (this.plays && this.ready.length < heard.length) {
      const next = this.coming.shift();
      if (!next) { this.plays = false; break; }
      this.waiting -= next.length;
      this.ready.push(...this.up.take(next));
    }
    if (this.ready.length) {
      const now = this.ready.splice(0, heard.length);
      heard.set(now);
      for (const value of now) this.loud[1] = Math.max(this.loud[1], Math.abs(value));
      for (let n = 1; n < output.length; n++) output[n].set(heard);
    }
    if (++this.blocks % 32 === 0) {
      this.port.postMessage({ levels: this.loud });
      this.loud = [0, 0];
    }
    return true;
  }
}
registerProcessor("cf-phone", Phone);
