// Which element draws which of the pages beside live calls and history.
import { html, nothing, repeat } from "./base.js";
import "./campaigns.js";
import "./dial.js";
import "./endpoints.js";
import "./limits.js";
import { decoded } from "./links.js";
import "./numbers.js";
import "./profiles.js";
import "./tools.js";

const ELEMENTS = {
  dial: (me) => html`<cf-dial .me=${me}></cf-dial>`,
  campaigns: (me, one) => one ? keyed(one, html`<cf-campaign .me=${me} .campaign=${one}></cf-campaign>`) : html`<cf-campaigns .me=${me}></cf-campaigns>`,
  numbers: (me) => html`<cf-numbers .me=${me}></cf-numbers>`,
  profiles: (me, one, isForAll) => isForAll ? html`<cf-profile .me=${me} .profile=${""}></cf-profile>` : one ? keyed(one, html`<cf-profile .me=${me} .profile=${one}></cf-profile>`) : html`<cf-profiles .me=${me}></cf-profiles>`,
  tools: (me) => html`<cf-tools .me=${me}></cf-tools>${me?.business ? nothing : html`<cf-endpoints .me=${me}></cf-endpoints>`}`,
  limits: () => html`<cf-limits></cf-limits>`,
};

const keyed = (key, drawn) => repeat([key], (each) => each, () => drawn);

/** The place that a path of the address names; null: none of these. */
export function placed(path) {
  if (path === "/session") return { view: "profiles", one: "", isForAll: true };
  const [, view, one = ""] = /^\/(\w+)(?:\/(.+))?$/.exec(path) ?? [];
  return Object.hasOwn(ELEMENTS, view ?? "") ? { view, one: decoded(one) } : null;
}

/** Draw such a place; null: it is another one. */
export const draw = ({ view, one, isForAll }, me) => (Object.hasOwn(ELEMENTS, view) ? ELEMENTS[view](me, one, isForAll) : null);
