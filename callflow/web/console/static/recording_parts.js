// What a call's journal tells about its recordings: when each part began, and what is marked in them.
// Pure: nothing here touches the page.
import { eventOf } from "./story.js";
import { T } from "./texts.js";

/** Events that begin or end something, each with the name of the stretch and whether it begins. */
const STRETCHES = {
  hold_requested: () => ["hold", true],
  resume_requested: () => ["hold", false],
  pause_requested: (e) => ["pause", e.on !== false],
  mute_requested: (e) => [`mute ${e.party === "agent" ? "agent" : "caller"}`, e.on !== false],
  take_over: (e) => ["take_over", e.state === "began"],
};
/** Events that are marked where they happened, each with the name of its mark. */
const POINTS = {
  interrupted: (e) => (e.by_caller ? "interrupted" : "cut"),
  cut_off: () => "cut",
  whispered: () => "whisper",
  say_requested: () => "say",
  dtmf_requested: () => "keys",
  transfer_requested: () => "transfer",
  call_bridged: () => "transfer",
  session_changed: () => "session",
  operator_answered: () => "answer",
  recording_failed: () => "failed",
};
/** Those that an operator does: told by the agent or the settings they are no act. */
const ACTS = new Set(["say_requested", "dtmf_requested", "session_changed"]);

export class RecordingParts {
  /** Our recordings: `{part, at}`, with the seconds since the call began at which each begins. */
  parts = [];
  /** `{key, kind, at, to, text}`; `to`: null: it goes on; undefined: it is a point. */
  marks = [];
  /** How often something was asked or told about recordings of the carrier. What comes of them is told late, often
   * when the call is over. */
  carriers = 0;
  #open = new Map();

  get isAny() { return this.parts.length > 0 || this.carriers > 0; }

  /** Take the next entry of the journal. */
  take(entry) {
    if (entry.step?.taken === false) return;
    const event = eventOf(entry);
    const name = event.event;
    if (name === "recording") this.parts.push({ part: String(event.file ?? "").split(",").length, at: entry.at });
    const asked = entry.step?.commands?.some((each) => each.command === "record" || each.record === true);
    if (asked || name === "carrier_recording") this.carriers += 1;
    if (STRETCHES[name]) this.#stretch(...STRETCHES[name](event), entry, T.notices[name](event));
    else if (POINTS[name] && !(ACTS.has(name) && !event.by)) {
      this.marks.push({ key: `m${entry.seq}`, kind: POINTS[name](event), at: entry.at, text: T.notices[name](event) });
    }
    if (name === "ended") for (const kind of [...this.#open.keys()]) this.#stretch(kind, false, entry, "");
  }

  #stretch(kind, begins, entry, text) {
    const open = this.#open.get(kind);
    if (begins && !open) {
      const mark = { key: `m${entry.seq}`, kind, at: entry.at, to: null, text };
      this.#open.set(kind, mark);
      this.marks.push(mark);
    } else if (!begins && open) {
      open.to = entry.at;
      this.#open.delete(kind);
    }
  }
}

/** The peaks of all parts on one axis, from the begin of the call. `parts`: each with `at`, `seconds` and `peaks`
 * (bytes: the caller and the agent in turn). Returns `{seconds, caller, agent}`, from 0 to 1. */
export function laid(parts, perSecond = 20) {
  const room = Math.max(1, Math.ceil(Math.max(0, ...parts.map((each) => each.at + each.seconds)) * perSecond));
  const sides = [new Float32Array(room), new Float32Array(room)];
  for (const { at, peaks } of parts) {
    const begin = Math.round(at * perSecond);
    for (let each = 0; each < peaks.length; each += 1) {
      const place = begin + (each >> 1);
      if (place < room) sides[each & 1][place] = peaks[each] / 255;
    }
  }
  return { seconds: room / perSecond, caller: sides[0], agent: sides[1] };
}
