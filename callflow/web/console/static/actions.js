// What an operator can do in one live call. The server decides who may; this only does not offer in vain.
import { post } from "./api.js";
import { Element, announce, html, nothing } from "./base.js";
import { named } from "./named.js";
import { T } from "./texts.js";

class Actions extends Element {
  static properties = {
    call: {}, mayAct: { type: Boolean }, isOver: { type: Boolean },
    said: { state: true }, failed: { state: true }, busy: { state: true },
    isHeld: { attribute: false }, muted: { attribute: false }, isRemote: { type: Boolean },
  };

  constructor() {
    super();
    this.isHeld = false;
    this.muted = { caller: false, agent: false };
  }

  /** What was done is not told any longer when somebody else has undone it. */
  willUpdate(changed) {
    const isOpposite = changed.has("isHeld") && this.said === (this.isHeld ? T.done.resume : T.done.hold);
    const isUnmuted = changed.has("muted") && this.said === T.done.mute && !this.muted.caller && !this.muted.agent;
    if (isOpposite || isUnmuted) this.said = "";
  }

  async #act(name, body, done) {
    this.busy = name;
    this.said = this.failed = "";
    try {
      await post(`/api/calls/${encodeURIComponent(this.call)}/${name}`, body);
      this.said = done;
      announce(done);
      return true;
    } catch (error) {
      this.failed = named(error, { text: T.sayHint, digits: T.digits }).message;
      announce(error.message);
      return false;
    } finally {
      this.busy = "";
    }
  }

  #say = async (event) => {
    event.preventDefault();
    const field = event.target.elements.text;
    if (field.value.trim() && await this.#act("say", { text: field.value.trim() }, T.done.say)) field.value = "";
  };

  #press = async (event) => {
    event.preventDefault();
    const field = event.target.elements.digits;
    if (field.value.trim() && await this.#act("dtmf", { digits: field.value.trim() }, T.done.dtmf)) field.value = "";
  };

  #mute(party) {
    const on = !this.muted[party];
    this.#act("mute", { party, on }, on ? T.done.mute : T.done.unmute);
  }

  #end(when) {
    this.querySelector("dialog").close();
    this.#act("hangup", { when }, T.done.hangup);
  }

  render() {
    if (this.isOver) return html`<p class="dim acts-note">${T.actsOver}</p>`;
    if (!this.mayAct) return html`<p class="dim acts-note">${T.actsViewer}</p>`;
    const mute = (party) => html`<button type="button" aria-pressed=${this.muted[party]} ?disabled=${this.busy} @click=${() => this.#mute(party)}>
      ${(this.muted[party] ? T.unmute : T.mute)[party]}</button>`;
    return html`
      <div class="acts" role="group" aria-label=${T.acts}>
        <form class="grow" @submit=${this.#say}>
          <input name="text" dir="auto" maxlength="1000" autocomplete="off" placeholder=${T.sayHint} aria-label=${T.sayHint}>
          <button ?disabled=${this.busy}>${T.say}</button>
        </form>
        ${this.isRemote ? nothing : html`<form @submit=${this.#press}>
          <input name="digits" class="short" inputmode="tel" autocomplete="off" placeholder=${T.digitsHint} aria-label=${T.digits}>
          <button ?disabled=${this.busy}>${T.digits}</button>
        </form>
        <button type="button" aria-pressed=${this.isHeld} ?disabled=${this.busy}
          @click=${() => this.#act(this.isHeld ? "resume" : "hold", {}, this.isHeld ? T.done.resume : T.done.hold)}>${this.isHeld ? T.resume : T.hold}</button>
        ${mute("caller")} ${mute("agent")}`}
        <button type="button" class="danger" ?disabled=${this.busy} @click=${() => this.querySelector("dialog").showModal()}>${T.hangUp}</button>
      </div>
      <p class="acts-note ${this.failed ? "failed" : "dim"}">${this.failed || this.said || (this.isRemote ? T.actsRemote : nothing)}</p>
      <dialog aria-labelledby="hang-up-title">
        <h2 id="hang-up-title">${T.hangUpTitle}</h2>
        <div class="buttons">
          <button type="button" @click=${() => this.#end("goodbye")}>${T.hangUpGoodbye}</button>
          <button type="button" class="danger" @click=${() => this.#end("now")}>${T.hangUpNow}</button>
          <button type="button" @click=${() => this.querySelector("dialog").close()}>${T.cancel}</button>
        </div>
      </dialog>`;
  }
}
customElements.define("cf-actions", Actions);
