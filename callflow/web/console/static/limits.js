// What limits calls, what they took today, and to whom they may be transferred. They are changed in profiles and .env.
import { get } from "./api.js";
import { html, nothing } from "./base.js";
import { FormPage, dollars, trouble } from "./form_page.js";
import { T } from "./texts.js";

const L = T.limits;

class Limits extends FormPage {
  get heading() { return T.pages.limits; }

  async load() {
    const [limits, budget] = await Promise.all([get("/api/limits"), get("/api/budget").catch(() => null)]);
    this.again(5000);
    return { limits, budget };
  }

  draw() {
    const { limits, budget } = this.data;
    const none = (value, unit = "") => (value ? `${value}${unit}` : L.none);
    const rows = [
      [L.calls, limits.calls.live === null ? limits.calls.most : T.dial.placesUsed(limits.calls.live, limits.calls.most)],
      [L.perCaller, none(limits.perCaller.calls)],
      [L.perHour, none(limits.perCaller.hour)],
      [L.pace, limits.dialsPerMinute],
      [L.share, `${Math.round(limits.campaignShare * 100)} %`],
      [L.day, [limits.day.minutes && L.minutes(limits.day.minutes), limits.day.usd && dollars(limits.day.usd)].filter(Boolean).join(", ") || L.none],
      [T.dial.allow, limits.allow || T.dial.allowAll],
      [T.dial.deny, limits.deny || L.nobody],
    ];
    return html`
      ${this.failed ? trouble(this.failed) : nothing}
      <section class="panel" aria-labelledby="limits-title">
        <header class="panel-head"><h1 id="limits-title">${this.heading}</h1><p class="dim">${L.where}</p></header>
        <dl class="facts">${rows.map(([name, value]) => html`<dt>${name}</dt><dd dir="auto">${value}</dd>`)}</dl>
      </section>
      ${budget ? html`<section class="panel" aria-labelledby="budget-title">
        <header class="panel-head"><h2 id="budget-title">${L.today(budget.day, budget.zone)}</h2>${budget.known ? nothing : html`<p class="dim">${L.notKnown}</p>`}</header>
        ${this.#spent([{ profile: L.all, ...budget.all }, ...budget.profiles], L.profile, "profile")}
        ${budget.callers?.length ? html`<h3>${L.dearest}</h3>${this.#spent(budget.callers, L.caller, "caller")}` : nothing}
      </section>` : nothing}
      <section class="panel" aria-labelledby="targets-title">
        <h2 id="targets-title">${L.profiles}</h2>
        <div class="table"><table><thead><tr>${[L.profile, L.model, L.minute, L.ofProfile, L.targets].map((each) => html`<th scope="col">${each}</th>`)}</tr></thead>
        <tbody>${limits.profiles.map((each) => html`<tr>
          <td data-name=${L.profile}><a href=${each.profile ? `#/profiles/${encodeURIComponent(each.profile)}` : "#/session"}>${each.profile || T.profiles.all}</a></td>
          <td data-name=${L.model}>${each.model}</td>
          <td data-name=${L.minute}>${each.minute === null ? T.dial.priceUnknown : dollars(each.minute)}</td>
          <td data-name=${L.ofProfile}>${[each.minutes && L.minutes(each.minutes), each.usd && dollars(each.usd)].filter(Boolean).join(", ") || L.none}</td>
          <td data-name=${L.targets} class="wide">${Object.entries(each.targets).map(([name, where]) => html`<span class="chip">${name}: <span dir="ltr">${where}</span></span> `)}${Object.keys(each.targets).length ? nothing : L.noTargets}</td></tr>`)}</tbody></table></div>
      </section>`;
  }

  #spent(rows, title, key) {
    const names = [title, L.callsToday, L.minutesToday, L.cost, L.used];
    return html`<div class="table"><table><thead><tr>${names.map((each) => html`<th scope="col">${each}</th>`)}</tr></thead>
      <tbody>${rows.map((each) => html`<tr><td data-name=${names[0]} dir="auto">${each[key] || (key === "profile" ? T.dial.noProfile : L.withheld)}</td>
        <td data-name=${names[1]}>${each.calls}</td><td data-name=${names[2]}>${each.minutes}</td><td data-name=${names[3]}>${dollars(each.usd)}</td>
        <td data-name=${names[4]}>${each.used === undefined ? T.unknown : `${Math.round(each.used * 100)} %`}</td></tr>`)}</tbody></table></div>`;
  }
}
customElements.define("cf-limits", Limits);
