// What was looked at, a line each: its state, what to do next, since when, how it was in the last hour, and where to go.
import { html, nothing, svg } from "./base.js";
import { at, fully } from "./format.js";
import { T } from "./texts.js";

const F = T.findings;
const ORDER = { wrong: 0, note: 1, ok: 2 };
const STATES = ["ok", "note", "wrong"];
const HEIGHTS = { ok: 3, note: 6, wrong: 10 };
const PLACES = [
  [/numbers?$|^Twilio \+/, "numbers"],
  [/^calls$|^budget$/, "limits"],
  [/^model$|^transcription$|^OpenAI$/, "session"],
  [/^carriers$/, "history"],
];

const placeOf = (about) => PLACES.find(([form]) => form.test(about))?.[1] ?? "";

/** The last hour, a bar for each minute; higher is worse, so that it can be read without colours. */
function hour(past) {
  const counts = { note: 0, wrong: 0 };
  const bars = [];
  [...past].forEach((word, minute) => {
    const state = STATES[Number(word)];
    if (!state) return;
    if (state !== "ok") counts[state] += 1;
    const before = bars.at(-1);
    if (before?.state === state && before.end === minute) before.end += 1;
    else bars.push({ state, begin: minute, end: minute + 1 });
  });
  const told = F.hour(counts.wrong, counts.note);
  return html`<svg class="hour" viewBox="0 0 60 10" preserveAspectRatio="none" role="img" aria-label=${told}><title>${told}</title>
    ${bars.map((each) => svg`<rect class=${each.state} x=${each.begin} y=${10 - HEIGHTS[each.state]} width=${each.end - each.begin} height=${HEIGHTS[each.state]}></rect>`)}</svg>`;
}

const finding = (each) => {
  const place = each.state === "ok" ? "" : placeOf(each.about);
  return html`<li data-state=${each.state}>
    <span class="mark">${T.healthStates[each.state] ?? each.state}</span><strong>${each.about}</strong>
    <p dir="auto">${each.what}${each.remedy ? html`<br><span class="next">→ ${each.remedy}</span>` : nothing}
      ${place ? html`<a href=${`#/${place}`}>${F.places[place]}</a>` : nothing}</p>
    ${each.hour ? html`<span class="past"><small class="dim">${each.since ? html`${F.since} <time title=${fully(each.since)}>${at(each.since)}</time>` : nothing}</small>${hour(each.hour)}</span>` : nothing}</li>`;
};

export const findings = (list) => html`<ul class="findings">${[...list].sort((one, other) => ORDER[one.state] - ORDER[other.state]).map(finding)}</ul>`;
