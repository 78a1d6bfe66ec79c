// What all elements of the page share: no shadow root, so that there is one stylesheet.
import { LitElement } from "lit";

export { html, nothing, svg } from "lit";
export { repeat } from "lit-html/directives/repeat.js";

export class Element extends LitElement {
  createRenderRoot() { return this; }
}

/** Say something to those who listen to the page instead of looking at it. Seldom. */
export function announce(sentence) {
  const place = document.getElementById("announcements");
  if (place) place.textContent = sentence;
}

/** The address of a call on this page. */
export const callAddress = (id) => `#/calls/${encodeURIComponent(id)}`;
