// The calls of before that fit what somebody types: asked when they pause, the newest first, eight at most.
import { get } from "./api.js";
import { partiesOf } from "./format.js";

const CALM = 250; // ms without a key
const MOST = 8;
const LEAST = 2; // characters

/** Whether words are a telephone number, as people write it. */
export const isNumber = (words) => words.replace(/\D/g, "").length > 6 && /^[+\d\s()./-]+$/.test(words);

/** Whether words may be the id of a call. */
export const isId = (words) => /^[\w.:=-]{16,}$/.test(words);

export class PastCalls {
  /** Of `words`: rows with `id`, `from`, `to` and `began` (ISO 8601). */
  rows = [];
  isBusy = false;
  #words = "";
  #due = 0;
  #asking = null;

  /** `changed`: called when there is something new. */
  constructor(changed) { this.changed = changed; }

  /** Look for these words; "": for nothing any more. */
  look(words) {
    if (words === this.#words) return;
    this.#words = words;
    clearTimeout(this.#due);
    this.#asking?.abort();
    this.rows = [];
    this.isBusy = words.length >= LEAST;
    if (this.isBusy) this.#due = setTimeout(() => this.#ask(words), CALM);
  }

  async #ask(words) {
    const asking = (this.#asking = new AbortController());
    let rows = [];
    try {
      rows = isId(words) ? await this.#named(words, asking.signal) : await this.#fitting(words, asking.signal);
    } catch { /* nothing is found then: a history that is not there says so on its own page */ }
    if (asking !== this.#asking || asking.signal.aborted) return;
    this.rows = rows.slice(0, MOST);
    this.isBusy = false;
    this.changed();
  }

  async #named(id, signal) {
    const found = await get(`/api/calls?sid=${encodeURIComponent(id)}`, { signal });
    return [{ id: found.id ?? id, from: found.from, to: found.to, began: found.startTime }];
  }

  async #fitting(words, signal) {
    const text = /[\p{L}\p{N}]$/u.test(words) && !words.includes('"') ? `${words}*` : words; // the last word is being typed
    const asked = new URLSearchParams({ ...(isNumber(words) ? { number: words } : { text }), live: "false", limit: MOST });
    const rows = await get(`/api/conversations?${asked}`, { signal });
    return rows.map((row) => {
      const [from, to] = partiesOf(row);
      return { id: row.stream_sid, from, to, began: row.started_at };
    });
  }
}
