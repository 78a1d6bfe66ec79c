// Requests to the server, and event streams that come back by themselves.
import { forPeople } from "./named.js";
import { T } from "./texts.js";

export class Refused extends Error {
  constructor(status, sentence, problems = []) { super(sentence); this.status = status; this.problems = problems; }
}

function toLogin() {
  const here = location.pathname + location.hash;
  location.assign(`/login?next=${encodeURIComponent(here)}`);
}

async function refusal(response) {
  let told = {};
  try { told = await response.json(); } catch { /* no JSON */ }
  return new Refused(response.status, forPeople(told.error ?? T.errors.other(response.status)), told.problems?.map(forPeople));
}

/** Ask; resolves to the Response. Throws Refused with a sentence for people. */
export async function ask(path, { method = "GET", body, csv, form, more = {}, signal } = {}) {
  const headers = { Accept: "application/json", ...more };
  if (method !== "GET") headers["X-Callflow"] = "console";
  if (csv !== undefined) headers["Content-Type"] = "text/csv";
  else if (body !== undefined && form === undefined) headers["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(path, { method, headers, signal, body: form ?? csv ?? (body === undefined ? undefined : JSON.stringify(body)) });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused(0, T.errors.network);
  }
  if (response.ok) return response;
  const refused = await refusal(response);
  // What needs a token although none is set is told in words: there is nothing to log in with.
  if (refused.status === 401 && method === "GET") toLogin();
  throw refused;
}

export const get = async (path, options) => (await ask(path, options)).json();
export const send = async (method, path, options = {}) => (await ask(path, { body: {}, ...options, method })).json();
export const post = async (path, body = {}) => (await ask(path, { method: "POST", body })).json();

/** Why the server does not open this event stream; null: it does. */
async function whyNot(url) {
  const stop = new AbortController();
  try {
    const response = await fetch(url, { headers: { Accept: "text/event-stream" }, signal: stop.signal });
    return response.ok ? null : await refusal(response);
  } catch {
    return new Refused(0, T.errors.network);
  } finally {
    stop.abort();
  }
}

const IDLE = 10000; // ms for which a tab that nobody sees keeps its streams

/**
 * Follow an event stream until `close()`. `url`: returns the address, anew at each attempt. `events`: by name, each
 * called with the data and the id. `onState`: called with connecting, open, lost or refused, and a sentence.
 *
 * A tab that nobody sees lets go of its stream, because browsers open six connections to a server at most.
 */
export function follow(url, events, onState) {
  let source = null, timer = 0, wait = 1000, closed = false;

  function open() {
    if (closed) return;
    clearTimeout(timer);
    const address = url();
    const opened = (source = new EventSource(address));
    opened.onopen = () => { wait = 1000; onState("open"); };
    opened.onerror = async () => {
      if (opened !== source) return;
      onState("lost");
      if (opened.readyState !== EventSource.CLOSED) return; // the browser tries again
      const why = await whyNot(address);
      if (opened !== source) return;
      if (why?.status === 401) { toLogin(); return; }
      if (why && why.status >= 400 && why.status < 500 && why.status !== 429) { onState("refused", why.message); return; }
      if (why?.status) onState("lost", why.message);
      timer = setTimeout(open, wait);
      wait = Math.min(wait * 2, 15000);
    };
    for (const [name, take] of Object.entries(events)) {
      opened.addEventListener(name, (event) => { if (opened === source) take(JSON.parse(event.data), event.lastEventId); });
    }
  }

  function letGo() { clearTimeout(timer); source?.close(); source = null; }

  function looked() {
    clearTimeout(idle);
    if (document.hidden) idle = setTimeout(letGo, IDLE);
    else if (!source) open();
  }

  let idle = 0;
  document.addEventListener("visibilitychange", looked);
  onState("connecting");
  open();
  return {
    close() {
      closed = true;
      document.removeEventListener("visibilitychange", looked);
      clearTimeout(idle);
      letGo();
    },
  };
}
