// Show the model of a live call a picture.
import { ask } from "./api.js";
import { Element, announce, html, nothing } from "./base.js";
import { named } from "./named.js";
import { T } from "./texts.js";

const P = T.picture;

class Picture extends Element {
  static properties = { call: {}, said: { state: true }, failed: { state: true }, busy: { state: true } };

  #show = async (event) => {
    event.preventDefault();
    const form = event.target;
    const file = form.elements.picture.files[0];
    if (!file) return;
    const sent = new FormData();
    sent.append("picture", file);
    sent.append("text", form.elements.text.value.trim());
    sent.append("now", String(form.elements.now.checked));
    this.busy = true;
    this.said = this.failed = "";
    try {
      const told = await (await ask(`/api/calls/${encodeURIComponent(this.call)}/images`, { method: "POST", form: sent })).json();
      this.said = P.shown(told.width, told.height);
      form.reset();
    } catch (error) {
      this.failed = named(error, { text: P.text, now: P.now }).message;
    } finally {
      this.busy = false;
      announce(this.failed || this.said);
    }
  };

  render() {
    return html`<form @submit=${this.#show}>
      <label>${P.file}<input type="file" name="picture" required accept="image/png,image/jpeg,image/webp"></label>
      <label class="grow">${P.text}<input name="text" maxlength="1000" autocomplete="off" dir="auto"></label>
      <label class="check"><input type="checkbox" name="now">${P.now}</label>
      <button ?disabled=${this.busy}>${P.show}</button></form>
      <p class="acts-note ${this.failed ? "failed" : "dim"}">${this.failed || this.said || nothing}</p>`;
  }
}
customElements.define("cf-picture", Picture);
