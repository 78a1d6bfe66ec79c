// A call's journal as a story: turns with what was heard of them, tools, states, and what happened in between.
// Pure: nothing here touches the page.
import { precise } from "./format.js";
import { Problems } from "./problems.js";
import { lastAt } from "./links.js";
import { rungsOf, singleRung } from "./rungs.js";
import { T } from "./texts.js";

const MOST_SINGLES = 1000; // rungs of single events
const NEAR = 1; // s after the caller's last word within which their turn is written down

/** The event or note of an entry, with its name under `event`. */
export function eventOf(entry) {
  const step = entry.step;
  if (step) return typeof step.event === "object" && step.event ? step.event : { ...step, event: step.event ?? entry.kind };
  return { event: entry.kind, ...(entry.note ?? {}) };
}

/** The words of a turn of the agent's, parted into heard, not heard yet (it is still being played), and never heard. */
export function parted(turn) {
  if (turn.cut) {
    const heard = turn.cut.heard_text || "";
    const unheard = turn.cut.unheard_text || (heard ? "" : turn.text);
    return { heard, coming: "", unheard };
  }
  if (turn.who !== "agent" || turn.done || turn.ofMs === null) return { heard: turn.text, coming: "", unheard: "" };
  const words = turn.text.split(/(?<=\s)/u);
  const played = turn.ofMs > 0 ? Math.floor((words.length * turn.heardMs) / turn.ofMs) : 0;
  return { heard: words.slice(0, played).join(""), coming: words.slice(played).join(""), unheard: "" };
}

export class Story {
  items = [];
  path = [];
  facts = {};
  held = false;
  muted = { caller: false, agent: false };
  over = null;
  /** How many people were rung for the caller and no longer are. */
  wereRung = 0;
  seq = 0;
  /** Unix time (seconds) of the call's beginning. */
  began = null;
  rungs = [];
  /** How long the caller waited for each answer, with when that wait began (`from`). */
  waits = [];
  happened = new Problems();
  /** It rises with every change. */
  version = 0;
  #turns = new Map();
  #latencies = new Map();
  #tools = new Map();
  #speech = [];
  #rungs = 0;
  #single = 0;
  #rings = false;
  /** How many rungs are single events. */
  singles = 0;

  /** Take the next entry of the journal. An entry that was taken already is passed over. */
  take(entry) {
    if (entry.seq && entry.seq <= this.seq) return false;
    this.seq = Math.max(this.seq, entry.seq || 0);
    this.version += 1;
    const event = eventOf(entry);
    this.began ??= (entry.seq || 0) / 1e6 - entry.at;
    for (const rung of rungsOf(entry, event)) this.#climb({ ...rung, key: (this.#rungs += 1) });
    this.happened.take(entry, event);
    if (entry.step) {
      this.#moved(entry);
      this.#rang(entry.step, event);
    }
    const does = this[`_${event.event}`];
    if (does) does.call(this, event, entry.at);
    const ofOther = event.leg && event.leg !== "caller" && event.event in T.othersNotices;
    const notice = (ofOther ? T.othersNotices : T.notices)[event.event];
    if (notice) {
      this.#put({ kind: "notice", at: entry.at, text: notice(event, this.facts), name: event.event, id: event.id, image: event.event === "image_shown" ? event.number : 0, alarm: T.alarming.has(event.event), key: `n${entry.seq}` });
    }
    return true;
  }

  /** Take a single event of the model or the media stream. One that was taken already is passed over. */
  single(told) {
    if (told.n <= this.#single) return false;
    this.#single = told.n;
    this.version += 1;
    this.singles += 1;
    if (this.singles > MOST_SINGLES) {
      let gone = MOST_SINGLES / 2;
      this.rungs = this.rungs.filter((each) => !each.isSingle || (gone -= 1) < 0);
      this.singles -= MOST_SINGLES / 2;
    }
    this.#climb(singleRung(told));
    return true;
  }

  /** Put a rung in its place: single events come a moment sooner or later than entries. */
  #climb(rung) {
    let place = this.rungs.length;
    while (place > 0 && this.rungs[place - 1].at > rung.at && (rung.isSingle || this.rungs[place - 1].isSingle)) place -= 1;
    this.rungs.splice(place, 0, rung);
  }

  /** Words that are being spoken. */
  partial({ who, item, text }, at) {
    const known = this.#turns.get(item);
    if (known && !known.partial) return;
    this.version += 1;
    const turn = known ?? this.#turn(item, who, Math.max(at, this.items.at(-1)?.at ?? 0), { isGuess: true });
    turn.partial = true;
    turn.text = text;
  }

  end({ result, cause }) {
    this.version += 1;
    this.over = { result: result ?? "", cause: cause ?? "" };
    for (const turn of this.#turns.values()) turn.partial = false;
    for (const tool of this.#tools.values()) tool.running = false;
  }

  #moved(entry) {
    const { before, after } = entry.step;
    if (!after) return;
    if (!this.path.length) this.path.push({ state: before || after, at: entry.at });
    if (this.path.at(-1).state !== after) this.path.push({ state: after, at: entry.at });
  }

  #rang({ commands = [], after, taken }, { event, leg }) {
    if (event === "transfer_requested") this.#rings ||= taken !== false;
    else if (this.#rings) {
      const ends = commands.some((each) => each.command === "join" || (each.command === "tell_transfer" && each.outcome !== "rings"));
      this.#rings = !(ends || after === "bridged" || after === "hangup" || (event === "call_answered" && leg === "human"));
      if (!this.#rings) this.wereRung += 1;
    }
  }

  #put(item) {
    let place = this.items.length;
    while (place > 0 && this.items[place - 1].at > item.at) place -= 1;
    this.items.splice(place, 0, item);
    return item;
  }

  /** The turn of an item. Its place is that of the first entry about it, however this page came to know of it. */
  #turn(item, who, at, { isGuess = false } = {}) {
    let turn = this.#turns.get(item);
    if (!turn) {
      turn = this.#put({
        kind: "turn", key: `t${item}`, item, who, at, text: "", whole: true, partial: false, isGuess,
        heardMs: 0, ofMs: null, done: false, cut: null, marks: [], latency: this.#latencies.get(item) ?? null,
      });
      this.#turns.set(item, turn);
    } else if (turn.isGuess && !isGuess) {
      this.#move(turn, at);
    }
    return turn;
  }

  #move(turn, at) {
    turn.isGuess = false;
    if (turn.at === at) return;
    this.items.splice(this.items.indexOf(turn), 1);
    turn.at = at;
    this.#put(turn);
  }

  _began(e, at) {
    Object.assign(this.facts, {
      carrier: e.carrier, from: e.from, to: e.to, direction: e.direction ?? "inbound", profile: e.profile, business: e.business,
    });
  }

  _turn(e, at) {
    const turn = this.#turn(e.item, e.who, at - (e.ago_ms ?? 0) / 1000);
    this.#move(turn, at - (e.ago_ms ?? 0) / 1000);
    turn.text = e.text;
    turn.whole = e.whole !== false;
    turn.partial = false;
  }

  _not_transcribed(e, at) {
    const turn = this.#turn(e.item, "caller", at - (e.ago_ms ?? 0) / 1000);
    turn.text = T.notTranscribed;
    turn.partial = false;
  }

  _heard(e, at) {
    const turn = this.#turn(e.item, "agent", at - (e.ms ?? 0) / 1000);
    const wait = turn.marks.length ? null : this.waits.findLast((each) => each.item === e.item);
    if (wait) wait.from = Math.max(0, at - ((e.ms ?? 0) + (wait.total_ms ?? 0)) / 1000);
    turn.marks.push([at, e.ms ?? 0]);
    turn.heardMs = e.ms ?? 0;
    turn.ofMs = e.of_ms ?? 0;
    turn.done = Boolean(e.done);
    if (e.so_far && (turn.partial || !turn.text)) turn.text = e.so_far;
  }

  _interrupted(e, at) {
    for (const cut of e.cuts ?? []) {
      const turn = this.#turn(cut.item, "agent", at - (cut.heard_ms ?? 0) / 1000);
      const isCut = (cut.received_ms ?? 0) > (cut.heard_ms ?? 0) || Boolean(cut.unheard_text);
      if ((cut.heard_ms ?? 0) > (turn.marks.at(-1)?.[1] ?? 0)) turn.marks.push([at, cut.heard_ms]);
      if (isCut) turn.cut = cut;
      else turn.done = true;
      if (!turn.text) turn.text = [cut.heard_text, cut.unheard_text].filter(Boolean).join(" ");
      turn.partial = false;
    }
    if (e.by_caller) this.facts.interruptions = (this.facts.interruptions ?? 0) + 1;
  }

  _cut_off(e, at) { this._interrupted(e, at); }

  /** It may come before the first entry about its turn. */
  _latency(e, at) {
    this.#latencies.set(e.item, e);
    this.waits.push({ ...e, at, from: Math.max(0, at - (e.total_ms ?? 0) / 1000) });
    const turn = this.#turns.get(e.item);
    if (turn) turn.latency = e;
  }

  _caller_speaks(e, at) { this.#speech.push({ at, until: null }); }

  _caller_pauses(e, at) {
    const last = this.#speech.at(-1);
    if (last && last.until === null) last.until = at;
  }

  /** When the caller spoke a turn of theirs: `{at, until}`, as the model noticed; null: that is not known. Its entry is
   * often about the end of what they said. */
  speechOf(turn) {
    const found = turn.who === "caller" ? this.#speech[lastAt(this.#speech, turn.at)] : null;
    return found && (found.until === null || turn.at - found.until < NEAR) ? found : null;
  }

  _hold_requested() { this.held = true; }

  _resume_requested() { this.held = false; }

  _mute_requested(e) { this.muted = { ...this.muted, [e.party]: e.on !== false }; }

  _first_word(e) { this.facts.first_word = e.ms; }

  _usage(e) { if (typeof e.total?.usd === "number") this.facts.cost = e.total.usd; }

  _tool_called(e, at) {
    const tool = this.#put({ kind: "tool", key: `c${e.id}`, at, name: e.tool, args: e.arguments ?? "", output: null, ok: null, ms: null, running: true });
    this.#tools.set(e.id, tool);
  }

  _tool_finished(e, at) {
    if (!this.#tools.has(e.id)) this._tool_called(e, at);
    Object.assign(this.#tools.get(e.id), { output: e.output ?? "", ok: e.ok !== false, ms: e.ms ?? null, running: false });
  }

  _hosted_tool(e, at) {
    this._tool_called({ id: e.id, tool: `${e.server}.${e.tool}`, arguments: e.arguments }, at);
    this._tool_finished(e, at);
  }

  /** The tool calls that wait for a person. */
  get asked() { return this.over ? [] : [...this.#tools.values()].filter((tool) => tool.running && tool.until); }

  _operator_asked(e, at) {
    const tool = this.#tools.get(e.id);
    if (tool) Object.assign(tool, { id: e.id, until: at + (e.ms ?? 0) / 1000 });
  }

  _operator_answered(e) {
    const tool = this.#tools.get(e.id);
    if (tool) tool.until = null;
  }

  _whisper_used(e) {
    const whisper = this.items.findLast((item) => item.name === "whispered" && item.id === e.id);
    const turn = this.#turns.get(e.item);
    if (turn) turn.whispered = true;
    if (whisper) whisper.text += T.stepIn.taken(precise(turn ? turn.at : whisper.at));
  }

  _ended(e, at) {
    this.facts.cause = e.cause;
    this.facts.duration = at;
    this.end({ result: this.over?.result, cause: e.cause });
  }
}
