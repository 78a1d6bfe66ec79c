// The entries of a call's journal as rungs of a ladder: who tells whom what. Pure.

export const LANES = ["carrier", "media", "agent", "model", "tools"];
const [CARRIER, MEDIA, AGENT, MODEL, TOOLS] = LANES.keys();

const lanes = (lists) => new Map(Object.entries(lists).flatMap(([lane, names]) => names.trim().split(/\s+/).map((name) => [name, LANES.indexOf(lane)])));

/** Who an event or note comes from; what is not here is the agent's own. */
const FROM = lanes({
  carrier: `call_initiated call_refused call_turned_away call_answered call_resumed call_hangup call_bridged call_referred
    not_ours stream_announced stream_failed speak_ended dtmf carrier_notice carrier_cost carrier_recording answered_by
    command_done command_failed ids number_id media_signature`,
  media: "media_started media_lost media_refused clip_played agent_heard heard",
  model: `engine_ready engine_lost engine_expiring engine_rotated engine_unable engine_complaint engine_missed_speech
    response_failed turn not_transcribed caller_speaks caller_pauses mcp_approval goodbye_heard end_call tool_called agent_speaks`,
  tools: "tool_finished hosted_tool operator_answered",
});
/** Who it goes to, where that is not the agent. */
const TO = lanes({
  media: "agent_speaks interrupted cut_off clip filler recording recording_failed listen_in take_over",
  model: "whispered told session_changed",
  tools: "tool_called operator_asked",
});
/** Who obeys a command. Clocks are no business of the ladder's. */
const OBEYS = lanes({
  carrier: `answer dial record pause_record brief join transfer refer reject hangup stream speak announce listen send_dtmf
    find_person suppress_noise`,
  media: "hold unhold mute play_dtmf play_clip close_media",
  model: `connect_engine greet leave_message rotate_engine prompt say await_goodbye tell_transfer silence_agent answer_tool`,
  tools: "run_tool",
});
const QUIET = new Set(["arm", "disarm", "release"]);
/** They would fill the ladder, and are told elsewhere on the page. */
const UNTOLD = new Set(["usage", "latency", "reply"]);
const BAD = new Set([
  "engine_lost", "engine_unable", "engine_complaint", "response_failed", "media_lost", "media_refused", "stream_failed",
  "command_failed", "recording_failed", "budget_reached", "call_refused", "unreadable",
]);

const STOPPED = "stop frame"; // how a stream ends whose call is over

const plain = (name) => name.replaceAll("_", " ");

/** The server's line about an entry, without what the ladder draws itself. */
function wordsOf(entry, name) {
  if (name === "began" || name === "ended") return [name, entry.note?.cause].filter(Boolean).join(": ");
  const line = (entry.line ?? "").split("   ")[0].replace(/^\((.*)\)$/s, "$1");
  const rest = line.startsWith(name) ? line.slice(name.length).replace(/^: /, "") : line;
  return [line.startsWith(name) || !line ? plain(name) : "", rest].filter(Boolean).join(": ");
}

const aboutOf = (command) => ["clip", "sentence", "reason", "number", "target", "tool"].map((name) => command[name]).find((each) => typeof each === "string" && each) ?? "";

const WAYS = { from_model: [MODEL, AGENT], to_model: [AGENT, MODEL], from_media: [MEDIA, AGENT], to_media: [AGENT, MEDIA] };

/** The rung of a single event of the model or the media stream. */
export function singleRung({ at, way, kind, line, n }) {
  const [from, to] = WAYS[way] ?? [AGENT, AGENT];
  return { at, from, to, name: kind, words: [kind, line].filter(Boolean).join(": "), moved: "", isBad: kind === "error", isInert: false, isSingle: true, key: `s${n}` };
}

/** The rungs of an entry, in order: what came, then the commands that followed. `event`: as `eventOf` tells it. */
export function rungsOf(entry, event) {
  const { step, at } = entry;
  const name = event.event;
  if (UNTOLD.has(name) || (name === "heard" && !event.done)) return [];
  let from = FROM.get(name) ?? AGENT;
  if (name === "dtmf" && event.source === "stream") from = MEDIA;
  const to = TO.get(name) ?? AGENT;
  const moved = step && step.after && step.before !== step.after ? step.after : "";
  const isLate = step?.before === "hangup";
  const found = [{
    at, from, to, name, words: wordsOf(entry, name), moved,
    isBad: (BAD.has(name) && !isLate && event.reason !== STOPPED) || event.ok === false, isInert: step?.taken === false,
  }];
  for (const command of step?.commands ?? []) {
    if (QUIET.has(command.command)) continue;
    const about = aboutOf(command);
    found.push({
      at, from: AGENT, to: OBEYS.get(command.command) ?? AGENT, name: command.command,
      words: `${plain(command.command)}${about ? `: ${about}` : ""}`, moved: "", isBad: false, isInert: false,
    });
  }
  return found;
}
