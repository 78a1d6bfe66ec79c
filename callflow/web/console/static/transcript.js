// The transcript of one call: what was said and what of it was heard, tools, and what happened in between.
import { html, nothing, repeat } from "./base.js";
import { precise, pretty } from "./format.js";
import { parted } from "./story.js";
import { T } from "./texts.js";

export const PARTS = ["detection_ms", "engine_ms", "own_ms", "carrier_ms"];

function waterfall(latency) {
  const total = Math.max(1, latency.total_ms);
  const told = PARTS.map((name) => `${T.parts[name]} ${latency[name] ?? 0} ms`).join(", ");
  return html`<span class="waterfall" role="img" aria-label=${`${T.answerAfter(latency.total_ms)}: ${told}`} title=${told}>
    <span class="parts">${PARTS.map((name) => html`<i class=${name.replace("_ms", "")} .style=${`inline-size:${(100 * (latency[name] ?? 0)) / total}%`}></i>`)}</span>
    <small>${T.latencyOf(latency.total_ms)}</small></span>`;
}

function words(turn) {
  const { heard, coming, unheard } = parted(turn);
  return html`<p class="words" dir="auto">${heard}${coming ? html`<span class="coming"><span class="hidden">${T.notYet} </span>${coming}</span>` : nothing}${unheard
    ? html`${heard ? " " : ""}<span class="unheard"><span class="hidden">${T.notHeard} </span>${unheard}</span>` : nothing}${turn.whole ? "" : " …"}</p>`;
}

function turn(item) {
  return html`<li class="turn ${item.who} ${item.partial ? "is-partial" : ""} ${item.cut ? "is-cut" : ""}">
    <header><b>${T.who[item.who] ?? item.who}</b><time>${precise(item.at)}</time>
      ${item.partial ? html`<span class="dim">${T.speakingNow}</span>` : nothing}
      ${item.whispered ? html`<span class="dim">${T.stepIn.used}</span>` : nothing}
      ${item.latency ? waterfall(item.latency) : nothing}</header>
    ${words(item)}</li>`;
}

function tool(item) {
  const state = item.running ? (item.until ? T.stepIn.waits : T.toolRuns) : item.ok === false ? T.toolFailed : item.ms === null ? "" : T.took(item.ms);
  return html`<li class="tool ${item.ok === false ? "is-failed" : ""}"><details>
    <summary><b>${T.tool}</b> <code>${item.name}</code><time>${precise(item.at)}</time><span class="dim">${state}</span></summary>
    <h4>${T.toolArguments}</h4><pre>${pretty(item.args)}</pre>
    ${item.output === null ? nothing : html`<h4>${T.toolResult}</h4><pre>${pretty(item.output)}</pre>`}</details></li>`;
}

const picture = (item, call) => html`<img class="shown" src=${`/api/calls/${encodeURIComponent(call)}/images/${item.image}`} alt=${T.picture.alt} loading="lazy">`;

const notice = (item, call) => html`<li class="notice ${item.alarm ? "is-alarm" : ""}" data-name=${item.name}><time>${precise(item.at)}</time><span dir="auto">${item.text}</span>${item.image ? picture(item, call) : nothing}</li>`;

const SHAPES = { turn, tool, notice };

export const transcript = (items, call) => repeat(items, (item) => item.key, (item) => SHAPES[item.kind](item, call));
