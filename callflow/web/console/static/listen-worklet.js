// Plays both sides of a call: at 8 kHz, each piece at its place, 100 ms behind the newest. It sends nothing.
const RATE = 8000;
const BEHIND = RATE / 10;
const ROOM = RATE * 4; // samples of each side that can wait
const FAR = RATE / 2; // further behind the newest than this is caught up
const CALM = RATE * 2; // samples of the caller without a gap after which a delay that is too long is made up for
const SLACK = RATE / 50; // so much more than `BEHIND` is nothing
const EVERY = RATE / 10; // samples between two reports of the levels
const [CALLER, , CUT] = [0, 1, 2];

const LINEAR = Float32Array.from({ length: 256 }, (_, code) => {
  const bits = ~code & 0xff;
  const size = (((bits & 0x0f) << 3) + 0x84) << ((bits >> 4) & 7);
  return (bits & 0x80 ? 0x84 - size : size - 0x84) / 32768;
});

class Player extends AudioWorkletProcessor {
  constructor() {
    super();
    this.rooms = [new Float32Array(ROOM), new Float32Array(ROOM)];
    this.muted = [false, false];
    this.place = null; // of the sample that is played next
    this.least = Infinity; // how far the caller's pieces are ahead at least
    this.calm = 0; // samples since that is measured
    this.peaks = [0, 0];
    this.count = 0;
    this.port.onmessage = ({ data }) => {
      if (data instanceof ArrayBuffer) this.take(data);
      else this.muted = data.muted;
    };
  }

  take(message) {
    const view = new DataView(message);
    for (let at = 0; at + 7 <= message.byteLength;) {
      const side = view.getUint8(at), place = view.getUint32(at + 1), length = view.getUint16(at + 5);
      at += 7;
      if (side === CUT) this.rooms[1].fill(0);
      else this.put(side, place, new Uint8Array(message, at, length));
      at += length;
    }
  }

  put(side, place, audio) {
    const behind = this.place === null ? -1 : place - this.place;
    if (behind < 0 || (side === CALLER && behind > FAR)) {
      if (side !== CALLER && this.place !== null) return;
      this.place = place - BEHIND;
      this.least = Infinity;
      this.calm = 0;
    } else if (side === CALLER) {
      this.catchUp(behind, audio.length);
    }
    if (place + audio.length - this.place > ROOM) return;
    for (let each = 0; each < audio.length; each += 1) this.rooms[side][(place + each) % ROOM] = LINEAR[audio[each]];
  }

  /** After a pause of the network everything is later than it must be: leave out what is too much, once it is calm. */
  catchUp(behind, length) {
    this.least = Math.min(this.least, behind);
    this.calm += length;
    if (this.calm < CALM) return;
    const tooMuch = this.least - BEHIND;
    if (tooMuch > SLACK) this.skip(tooMuch);
    this.least = Infinity;
    this.calm = 0;
  }

  skip(count) {
    for (let each = 0; each < count; each += 1, this.place += 1) {
      if (this.place >= 0) for (const room of this.rooms) room[this.place % ROOM] = 0;
    }
  }

  process(_, [output]) {
    if (this.place === null) return true;
    const size = output[0].length;
    for (let each = 0; each < size; each += 1, this.place += 1) {
      if (this.place < 0) continue;
      const slot = this.place % ROOM;
      for (const side of [0, 1]) {
        const sample = this.muted[side] ? 0 : this.rooms[side][slot];
        this.rooms[side][slot] = 0;
        this.peaks[side] = Math.max(this.peaks[side], Math.abs(sample));
        if (output[side]) output[side][each] = sample;
      }
    }
    this.count += size;
    if (this.count >= EVERY) {
      this.port.postMessage(this.peaks);
      this.peaks = [0, 0];
      this.count = 0;
    }
    return true;
  }
}
registerProcessor("cf-player", Player);
