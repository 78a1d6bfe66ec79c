// What went wrong in a call, and why it ended: in words, each with its moment. Pure.
import { precise } from "./format.js";
import { T } from "./texts.js";

const H = T.happened;
const SLOW = 3; // s of silence before an answer that a caller takes for a dead line
const SLOW_TOOL = 5; // s
const AWAY = 1; // s without any entry
const TOGETHER = 0.2; // s within which one thing follows from the other
const MOST = 200;
const PLANNED = new Set(["farewell", "last_words"]); // they bound a goodbye
const WITH_A_PERSON = new Set(["transferring", "bridged"]); // the audio goes past us: its stream has ended, as it should

/** Takes the entries of a call in order, and keeps what a person would ask about. */
export class Problems {
  #found = [];
  #open = new Map(); // by what is lost: its finding, until it is back
  #tools = new Map();
  #last = 0;
  #before = 0; // the entry before the newest pause
  #end = null;
  #isLive = true;
  #hadMedia = false;

  /** `event`: as `eventOf` tells it. */
  take(entry, event) {
    const { at, step } = entry;
    if (at - this.#last > TOGETHER) this.#before = this.#last;
    const does = this.#isLive ? this[`_${event.event}`] : null;
    if (does) does.call(this, event, at, step);
    if (step?.after === "hangup" && step.before !== "hangup") {
      this.#isLive = false;
      this.#end = { at, by: event };
      if (event.event === "call_hangup" && step.before !== "recovering") this.#forget("media"); // the caller's stream ends with the call
    }
    if (event.event === "ended") this.#counted(event, at);
    this.#last = at;
  }

  /** The findings in order: `{at, text, tone}`; tone: bad, warm or "". `cause`: the server's words on why it ended. */
  told(cause, isOver) {
    const found = this.#found.map(({ text, ...more }) => ({ ...more, text: typeof text === "function" ? text(isOver) : text }));
    if (isOver) found.push({ at: this.#end?.at ?? this.#last, text: H.ended(cause), tone: "", isEnd: true });
    return found.sort((a, b) => a.at - b.at);
  }

  #put(at, text, tone = "bad") {
    const found = { at, text, tone };
    if (this.#found.length < MOST) this.#found.push(found);
    return found;
  }

  /** Something is gone until it is back. */
  #lost(what, at, sentence) {
    if (this.#open.has(what)) return;
    const finding = this.#put(at, (isOver) => `${sentence} ${finding.back === undefined ? (isOver ? H.neverBack : H.notBackYet) : H.back((finding.back - at).toFixed(1))}`);
    this.#open.set(what, finding);
  }

  #back(what, at) {
    const finding = this.#open.get(what);
    if (!finding) return;
    finding.back = at;
    finding.tone = "warm";
    this.#open.delete(what);
  }

  #forget(what) {
    const finding = this.#open.get(what);
    this.#found = this.#found.filter((each) => each !== finding);
    this.#open.delete(what);
  }

  #counted(e, at) {
    const dropped = Object.entries(H.counted).filter(([name]) => e[name] > 0).map(([name, words]) => words(e[name]));
    for (const words of dropped) this.#put(at, words, "warm");
  }

  _engine_lost(e, at) { this.#lost("engine", at, H.engineLost(e.reason)); }

  _engine_ready(e, at) { this.#back("engine", at); }

  _media_lost(e, at, step) { if (!WITH_A_PERSON.has(step?.after)) this.#lost("media", at, H.mediaLost(e.reason)); }

  _media_started(e, at) {
    this.#hadMedia = true;
    this.#back("media", at);
  }

  _media_refused(e, at) { this.#put(at, H.mediaRefused(e.reason)); }

  _stream_failed(e, at) { this.#put(at, H.streamFailed(e.reason, !this.#hadMedia)); }

  _command_failed(e, at) { this.#put(at, H.commandFailed(e.command, e.gone, e.reason)); }

  _engine_unable(e, at) { this.#put(at, H.engineUnable(e.reason)); }

  _engine_complaint(e, at) { this.#put(at, H.engineComplaint(e.message || e.code), "warm"); }

  _engine_missed_speech(e, at) { this.#put(at, H.missedSpeech, "warm"); }

  _response_failed(e, at) { this.#put(at, H.responseFailed(e.detail || e.status, e.final), e.final ? "bad" : "warm"); }

  _not_transcribed(e, at) { this.#put(at - (e.ago_ms ?? 0) / 1000, H.notTranscribed(e.reason), "warm"); }

  _tool_called(e, at) { this.#tools.set(e.id, { name: e.tool, at }); }

  _tool_finished(e, at) {
    const called = this.#tools.get(e.id);
    const name = called?.name ?? e.tool ?? "";
    if (e.ok === false) this.#put(at, H.toolFailed(name));
    else if ((e.ms ?? 0) > SLOW_TOOL * 1000) this.#put(called?.at ?? at, H.toolSlow(name, (e.ms / 1000).toFixed(1)), "warm");
  }

  _hosted_tool(e, at) { if (e.ok === false) this.#put(at, H.toolFailed(`${e.server}.${e.tool}`)); }

  _latency(e, at) {
    const silent = e.filler_ms ?? e.total_ms;
    if (silent > SLOW * 1000) this.#put(at, H.slow((silent / 1000).toFixed(1)), "warm");
  }

  _first_word(e, at) { if (e.ms > SLOW * 1000) this.#put(at, H.firstWord((e.ms / 1000).toFixed(1)), "warm"); }

  _filler(e, at) { this.#put(at, H.filler, "warm"); }

  _no_input(e, at) { this.#put(at, H.noInput(e.last), "warm"); }

  _call_recovered(e, at) {
    const gap = at - (at - this.#last > TOGETHER ? this.#last : this.#before);
    const last = this.#found.at(-1);
    if (last?.text === H.cutOff && at - last.at < TOGETHER) this.#found.pop();
    this.#put(at, e.handed_over ? H.handedOver : H.recovered(gap > AWAY ? gap.toFixed(1) : ""), "warm");
    for (const what of [...this.#open.keys()]) this.#forget(what); // the process of before had lost it, which is told already
  }

  _recording_failed(e, at) { this.#put(at, H.recordingFailed(e.reason)); }

  _budget_reached(e, at) { this.#put(at, H.budget); }

  _call_refused(e, at) { this.#put(at, H.refused(e.why || e.reason)); }

  _call_turned_away(e, at) { this.#put(at, H.refused(e.why || e.reason)); }

  _caller_lookup(e, at) { if (e.outcome !== "answered") this.#put(at, H.lookup(e.outcome, e.why), "warm"); }

  _call_referred(e, at) { if (e.state === "failed") this.#put(at, H.referFailed(e.code)); }

  _listening(e, at) { if (e.state === "failed") this.#put(at, H.listeningFailed(e.reason), "warm"); }

  _take_over(e, at) { if (e.state === "lost") this.#put(at, H.operatorLost, "warm"); }

  _unreadable(e, at) { this.#put(at, H.unreadable, "warm"); }

  _cut_off(e, at) {
    const unheard = (e.cuts ?? []).some((cut) => cut.unheard_text || cut.received_ms > cut.heard_ms);
    if (unheard && !e.by_caller && !this.#open.size) this.#put(at, H.cutOff, "warm");
  }

  _deadline_passed(e, at, step) { if (step?.after === "hangup" && !PLANNED.has(e.deadline)) this.#put(at, H.deadline(e.deadline)); }
}

/** One line for each finding; for a report that somebody pastes elsewhere. */
export const inLines = (found) => found.map((each) => `${precise(each.at)}  ${each.text}`).join("\n");
