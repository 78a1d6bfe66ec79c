// The moment that the call page stands at: one for transcript, log, ladder, figures and sound.

/** `at`: seconds since the call began; null: follow the newest. `source`: who set it, so that nobody follows itself. */
class Moment extends EventTarget {
  at = null;
  source = "";

  /** Stand at this moment. It may be called many times a second; whoever listens does little. */
  set(seconds, source = "") {
    const at = seconds === null || !Number.isFinite(seconds) ? null : Math.max(0, seconds);
    if (at === this.at) return;
    this.at = at;
    this.source = source;
    this.dispatchEvent(new Event("change"));
  }
}

export const moment = new Moment();

/** Call `moved` whenever the moment changes while an element is on the page. */
export function onMoment(element, moved) {
  element.addController({
    hostConnected() { moment.addEventListener("change", moved); },
    hostDisconnected() { moment.removeEventListener("change", moved); },
  });
}
