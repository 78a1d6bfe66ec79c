// When which word of a turn was heard, as far as the journal tells. Pure.
import { parted } from "./story.js";

const PACE = 0.06; // s for a character, where nobody knows better
const AFTER = 0.1; // s for which the last word stays marked

/** Milliseconds of a turn's audio that had been heard at a moment. */
function heardAt(turn, at) {
  let [fromAt, fromMs] = [turn.at, 0];
  for (const [markAt, ms] of turn.marks) {
    if (markAt >= at) return ms > fromMs && markAt > fromAt ? fromMs + ((ms - fromMs) * Math.max(0, at - fromAt)) / (markAt - fromAt) : fromMs;
    [fromAt, fromMs] = [markAt, ms];
  }
  return Infinity;
}

/** When so many milliseconds of a turn's audio had been heard. */
function momentOf(turn, wanted) {
  let [fromAt, fromMs] = [turn.at, 0];
  for (const [markAt, ms] of turn.marks) {
    if (ms >= wanted) return ms > fromMs ? fromAt + ((markAt - fromAt) * Math.max(0, wanted - fromMs)) / (ms - fromMs) : fromAt;
    [fromAt, fromMs] = [markAt, ms];
  }
  return fromAt;
}

/** Milliseconds that the shown, heard words of an agent's turn take. */
const lengthOf = (turn) => turn.cut?.heard_ms || turn.ofMs || turn.heardMs;

/** The words of a turn whose times can be told: of the agent those that were heard, or are going to be. */
function toldWords(turn) {
  const { heard, coming } = parted(turn);
  return heard + coming;
}

/** When a turn was heard or spoken, as [from, to]. `speech`: as `Story.speechOf` tells it. */
export function spanOf(turn, speech) {
  if (turn.who === "agent" && turn.marks.length) return [turn.at, turn.marks.at(-1)[0]];
  const from = speech?.at ?? turn.at;
  return [from, speech?.until ?? from + turn.text.length * PACE];
}

/** The part of its words at which a turn is at a moment, as two places in the text; null: in none of them. */
export function wordAt(turn, at, speech) {
  const text = toldWords(turn);
  const [begin, end] = spanOf(turn, speech);
  if (!text || at < begin || at > end + AFTER) return null;
  const part = turn.who === "agent" && turn.marks.length ? heardAt(turn, at) / Math.max(1, lengthOf(turn)) : (at - begin) / Math.max(0.1, end - begin);
  let place = Math.min(text.length - 1, Math.max(0, Math.floor(part * text.length + 0.05)));
  while (place < text.length - 1 && /\s/u.test(text[place])) place += 1;
  let from = place, to = place + 1;
  while (from > 0 && !/\s/u.test(text[from - 1])) from -= 1;
  while (to < text.length && !/\s/u.test(text[to])) to += 1;
  return [from, to];
}

/** When the word at this place of a turn's text begins. What was never heard has the moment of the cut. */
export function momentAt(turn, place, speech) {
  const text = toldWords(turn);
  const [begin, end] = spanOf(turn, speech);
  if (place >= text.length) return end;
  let from = place;
  while (from > 0 && !/\s/u.test(text[from - 1])) from -= 1;
  const part = from / text.length;
  if (turn.who === "agent" && turn.marks.length) return momentOf(turn, part * lengthOf(turn));
  return begin + part * (end - begin);
}
