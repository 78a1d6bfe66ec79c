// Times, durations and figures as people read them, in the viewer's zone and language.
import { T } from "./texts.js";

const moment = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const full = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "long" });

/** A Date of Unix seconds, of ISO 8601, or null. */
export function date(value) {
  if (value === null || value === undefined || value === "") return null;
  const found = new Date(typeof value === "number" ? value * 1000 : value);
  return Number.isNaN(found.getTime()) ? null : found;
}

export const at = (value) => { const found = date(value); return found ? moment.format(found) : T.unknown; };
export const fully = (value) => { const found = date(value); return found ? full.format(found) : ""; };

/** 83.2 → 1:23 */
export function duration(seconds) {
  if (seconds === null || seconds === undefined || Number.isNaN(Number(seconds))) return T.unknown;
  const whole = Math.max(0, Math.floor(seconds));
  const rest = String(whole % 60).padStart(2, "0");
  const minutes = Math.floor(whole / 60);
  return minutes < 60 ? `${minutes}:${rest}` : `${Math.floor(minutes / 60)}:${String(minutes % 60).padStart(2, "0")}:${rest}`;
}

/** 83.21 → 1:23.2 */
export const precise = (seconds) => `${duration(seconds)}.${Math.floor((Math.max(0, seconds) % 1) * 10)}`;

/** 83.214 → 1:23.21 */
export const exact = (seconds) => `${duration(seconds)}.${String(Math.floor((Math.max(0, seconds) % 1) * 100 + 1e-6)).padStart(2, "0")}`;

/** JSON over several lines where it is JSON, else the text. */
export function pretty(text) {
  if (typeof text !== "string") return JSON.stringify(text, null, 2) ?? "";
  try { return JSON.stringify(JSON.parse(text), null, 2); } catch { return text; }
}

export const figure = (value, unit) => (value === null || value === undefined ? T.unknown : `${Math.round(value * 10) / 10} ${unit}`);

/** Who called and who was called, of a row of the history: it has our number and the other person's, whoever dialled. */
export const partiesOf = (row) => (row.direction === "outbound" ? [row.phone_number, row.caller_number] : [row.caller_number, row.phone_number]);
