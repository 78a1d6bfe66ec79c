// One setting of calls: its value, what it means, where it comes from, and where a change of it holds.
import { html, nothing } from "./base.js";
import { T } from "./texts.js";

const F = T.setting;

/** The value that somebody has put in, in the type of the setting. */
export function valueOf(one, input) {
  if (one.kind === "flag") return input.checked;
  const text = input.value;
  const isNumber = text.trim() !== "" && Number.isFinite(Number(text));
  if ((one.kind === "number" || (one.kind === "mixed" && !one.choices.includes(text))) && isNumber) return Number(text);
  return text;
}

function control(one, value, id, { mayChange, set }) {
  const change = (event) => { event.stopPropagation(); set(event.target); };
  const off = !mayChange;
  const text = value === null || value === undefined ? "" : String(value);
  const about = `${id}-text`;
  switch (one.kind) {
    case "flag": return html`<input type="checkbox" id=${id} aria-describedby=${about} ?disabled=${off} .checked=${value === true} @change=${change}>`;
    case "choice": return html`<select id=${id} aria-describedby=${about} ?disabled=${off} @change=${change}>${one.choices.map((each) => html`<option ?selected=${each === value}>${each}</option>`)}</select>`;
    case "long": return html`<textarea id=${id} aria-describedby=${about} rows=${Math.min(10, Math.max(2, Math.ceil(text.length / 90)))} dir="auto" ?disabled=${off} .value=${text} @input=${change}></textarea>`;
    case "number": return html`<input id=${id} aria-describedby=${about} type="number" step=${one.whole ? 1 : "any"} min=${one.least ?? nothing} max=${one.most ?? nothing} ?disabled=${off} .value=${text} @input=${change}>`;
    default: return html`<input id=${id} aria-describedby=${about} dir="auto" autocomplete="off" ?disabled=${off} list=${one.suggestions || one.choices ? `${id}-list` : nothing} .value=${text} @input=${change}>
      ${one.suggestions || one.choices ? html`<datalist id=${`${id}-list`}>${(one.suggestions ?? one.choices).map((each) => html`<option value=${each}></option>`)}</datalist>` : nothing}`;
  }
}

/** A text in which names stand between backticks. */
const marked = (text) => text.split("`").map((each, index) => (index % 2 ? html`<code>${each}</code>` : each));

/** Draw a setting. `about`: what is known of it here, and what a change calls. */
export function field(one, about) {
  const { told, change, isChanged, notTaken, isOwn, mayChange, isProfile, back } = about;
  const id = `setting-${one.name}`;
  const isBack = isChanged && change === null;
  return html`<div class="setting ${isChanged ? "is-changed" : ""}">
    <label for=${id}><code>${one.name}</code></label>
    <div>${control(one, isChanged && !isBack ? change : told.value, id, about)}
      <p class="dim" id=${`${id}-text`}>${marked(one.text)}</p>
      <p class="where"><span class="chip">${isBack ? F.goesBack : isChanged ? F.isChanged : F.from(told.origin)}</span>
        <span class="chip">${one.inCall ? F.inCall : isProfile ? F.nextOfProfile : F.next}</span>
        ${notTaken ? html`<span class="warning">${F.notTaken(notTaken)}</span>` : nothing}
        ${isOwn && mayChange && !isBack ? html`<button type="button" class="small" @click=${back}>${F.back}</button>` : nothing}</p></div></div>`;
}
