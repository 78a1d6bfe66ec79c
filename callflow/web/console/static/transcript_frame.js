// The transcript of one call in its own frame: it follows what is said, or stands at the page's moment.
import { Element, html, nothing } from "./base.js";
import { lastAt } from "./links.js";
import { moment, onMoment } from "./moment.js";
import { T } from "./texts.js";
import { transcript } from "./transcript.js";
import { momentAt, wordAt } from "./word_times.js";

const NEAR = 80; // px from the end within which the transcript follows what is said
const [BACK, AHEAD] = [12, 4]; // items before and after the last one, among which a turn may be the one that is heard
const WORD = globalThis.Highlight ? new Highlight() : null;
if (WORD) CSS.highlights.set("moment-word", WORD);

/** The text nodes of a turn's words, without what is there for those who listen to the page only. */
function* textsOf(words) {
  const walker = document.createTreeWalker(words, NodeFilter.SHOW_TEXT, (node) => (node.parentElement.closest(".hidden") ? NodeFilter.FILTER_REJECT : NodeFilter.FILTER_ACCEPT));
  while (walker.nextNode()) yield walker.currentNode;
}

/** Bring an element into its scrolled frame, and leave the page where it is. */
export function reveal(frame, element) {
  const [outer, inner] = [frame.getBoundingClientRect(), element.getBoundingClientRect()];
  if (inner.top < outer.top || inner.bottom > outer.bottom) frame.scrollTop += inner.top - outer.top - Math.max(0, (outer.height - inner.height) / 3);
}

class TranscriptFrame extends Element {
  static properties = {
    story: { attribute: false, hasChanged: () => true }, isOver: { type: Boolean }, isLoading: { type: Boolean },
    /** Seconds of this call's clock at the beginning of the page's call. */
    offset: { attribute: false }, follows: { state: true }, toBegin: { attribute: false },
  };
  #range = null;
  #now = [];
  #shown = null;
  #marked = "";
  #version = -1;

  constructor() {
    super();
    this.follows = true; this.offset = 0;
    onMoment(this, () => this.#stand());
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    this.#mark(null);
  }

  shouldUpdate(changed) {
    const isSame = changed.size === 1 && changed.has("story") && this.#version === this.story.version && changed.get("story") === this.story;
    this.#version = this.story.version;
    return !isSame;
  }

  get frame() { return this.querySelector(".transcript"); }

  updated() {
    if (this.toBegin && this.follows && moment.at === null) {
      this.follows = false; // whoever opens a call of before reads it from its beginning
      this.frame.scrollTop = 0;
    }
    this.#marked = "";
    this.#stand();
    if (this.follows && moment.at === null) this.frame.scrollTop = this.frame.scrollHeight;
  }

  /** Mark what is said at the moment. Nothing is drawn anew. */
  #stand() {
    const list = this.querySelector("ol");
    const at = moment.at === null ? null : moment.at + this.offset;
    const { items } = this.story;
    const last = at === null ? -1 : lastAt(items, at);
    const now = [];
    let word = null;
    for (let index = Math.min(last + AHEAD, items.length - 1); at !== null && index >= 0 && index > last - BACK; index -= 1) {
      const item = items[index];
      const found = item.kind === "turn" ? wordAt(item, at, this.story.speechOf(item)) : null;
      if (!found) continue;
      now.push(index);
      word ??= [index, found];
    }
    if (last >= 0 && !now.length) now.push(last);
    const elements = now.map((index) => list?.children[index]).filter(Boolean);
    for (const each of this.#now) if (!elements.includes(each)) each.removeAttribute("aria-current");
    for (const each of elements) if (!each.hasAttribute("aria-current")) each.setAttribute("aria-current", "true");
    this.#now = elements;
    const place = word ? list?.children[word[0]] : null;
    const marked = String(word);
    if (marked !== this.#marked) this.#mark(place, word?.[1]);
    this.#marked = marked;
    const shown = place ?? elements[0] ?? null;
    if (shown && shown !== this.#shown && moment.source !== "transcript") reveal(this.frame, shown);
    if (at !== null && this.follows) this.follows = false;
    this.#shown = shown;
  }

  #mark(turn, word) {
    if (this.#range) WORD?.delete(this.#range);
    this.#range = null;
    const words = turn?.querySelector(".words");
    if (!words || !WORD) return;
    const range = new Range();
    let before = 0, isBegun = false;
    for (const node of textsOf(words)) {
      const end = before + node.length;
      if (!isBegun && word[0] < end) { range.setStart(node, word[0] - before); isBegun = true; }
      if (isBegun && word[1] <= end) {
        range.setEnd(node, word[1] - before);
        WORD.add((this.#range = range));
        return;
      }
      before = end;
    }
  }

  #clicked = (event) => {
    const place = event.target.closest("li");
    if (!place || event.target.closest("summary, pre, a") || !getSelection().isCollapsed) return;
    const item = this.story.items[[...place.parentElement.children].indexOf(place)];
    if (!item) return;
    const words = event.target.closest(".words");
    const at = words && item.kind === "turn" ? momentAt(item, this.#placeIn(words, event), this.story.speechOf(item)) : item.at;
    moment.set(at - this.offset, "transcript");
  };

  /** The place in the text of these words at which the pointer is. */
  #placeIn(words, { clientX, clientY }) {
    const at = document.caretPositionFromPoint?.(clientX, clientY);
    const [pointed, offset] = at ? [at.offsetNode, at.offset] : (({ startContainer, startOffset }) => [startContainer, startOffset])(document.caretRangeFromPoint(clientX, clientY) ?? new Range());
    let before = 0;
    for (const node of textsOf(words)) {
      if (node === pointed) return before + offset;
      before += node.length;
    }
    return 0;
  }

  #scrolled = ({ target }) => {
    this.follows = moment.at === null && target.scrollHeight - target.scrollTop - target.clientHeight < NEAR;
  };

  #newest() {
    this.follows = true;
    moment.set(null, "transcript");
    this.requestUpdate();
  }

  render() {
    const { story } = this;
    return html`
      <div class="transcript" role="log" aria-live="off" aria-label=${T.transcript} tabindex="0" @scroll=${this.#scrolled} @click=${this.#clicked}>
        ${story.items.length ? html`<ol>${transcript(story.items, story.call)}</ol>` : html`<p class="empty">${this.isLoading ? T.transcriptLoading : T.transcriptEmpty}</p>`}
        ${this.isOver ? html`<p class="end">${T.callOver(story.over?.result, story.over?.cause)}</p>` : nothing}
      </div>
      <button type="button" class="newest" ?hidden=${this.follows || this.isOver} @click=${() => this.#newest()}>${T.newest}</button>`;
  }
}
customElements.define("cf-transcript-frame", TranscriptFrame);
