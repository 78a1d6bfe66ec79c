// What /api/live tells, for every part of the page: one stream, and few wake-ups.
import { follow } from "./api.js";

const CALM = 200; // ms between two rounds of drawing
const KEEP_OVER = 8000; // ms for which an ended call stays on the wall

class Live extends EventTarget {
  calls = new Map();
  over = new Map();
  counters = null;
  levels = {};
  state = "connecting";
  sentence = "";
  #stream = null;
  #due = 0;
  #last = 0;
  #levelsChanged = false;

  start() {
    this.#stream ??= follow(() => "/api/live", {
      snapshot: (data) => {
        this.calls = new Map(data.calls.map((row) => [row.id, row]));
        for (const id of [...this.over.keys()]) if (this.calls.has(id)) this.over.delete(id);
        this.counters = data.counters;
        this.#soon();
      },
      call: (row) => { this.calls.set(row.id, row); this.over.delete(row.id); this.#soon(); },
      gone: ({ id, result }) => {
        const row = this.calls.get(id);
        this.calls.delete(id);
        if (row) {
          this.over.set(id, { ...row, over: true, result: result ?? "", speaking: "", ended: Date.now() / 1000 });
          setTimeout(() => { if (this.over.delete(id)) this.#soon(); }, KEEP_OVER);
        }
        this.#soon();
      },
      levels: (data) => { this.levels = data; this.#levelsChanged = true; this.#soon(); },
      counters: (data) => { this.counters = data; this.#soon(); },
    }, (state, sentence = "") => {
      this.state = state;
      this.sentence = sentence;
      if (state !== "open") this.levels = {};
      this.#soon();
    });
  }

  /** Live calls and those that have just ended, the oldest first, so that no row moves but behind one that goes. */
  rows() {
    return [...this.calls.values(), ...this.over.values()].sort((a, b) => (a.began ?? 0) - (b.began ?? 0) || (a.id < b.id ? -1 : 1));
  }

  #soon() {
    if (this.#due) return;
    const rest = Math.max(0, CALM - (performance.now() - this.#last));
    this.#due = setTimeout(() => requestAnimationFrame(() => {
      this.#due = 0;
      this.#last = performance.now();
      this.dispatchEvent(new Event("change"));
      if (this.#levelsChanged) {
        this.#levelsChanged = false;
        this.dispatchEvent(new Event("levels"));
      }
    }), rest);
  }
}

export const live = new Live();
