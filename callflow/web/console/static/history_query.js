// The filters of the history as they stand in the address, and the server's query for them.

export const FIELDS = ["text", "number", "days", "from", "to", "live", "direction", "result", "profile", "carrier"];
const SAME = ["text", "number", "live", "direction", "result", "profile", "carrier"];

/** The beginning of a day of the viewer's zone, `plus` days later, as ISO 8601. `until`: a moment before it. */
function day(date, plus, until = false) {
  return new Date(new Date(date.getFullYear(), date.getMonth(), date.getDate() + plus).getTime() - (until ? 1 : 0)).toISOString();
}

const dateOf = (text) => { const [y, m, d] = text.split("-").map(Number); return new Date(y, m - 1, d); };

/** The server's query for the filters of the address. */
export function query(filters) {
  const asked = new URLSearchParams();
  for (const name of SAME) if (filters.get(name)) asked.set(name, filters.get(name));
  const days = Number(filters.get("days"));
  if (days > 0) asked.set("from", day(new Date(), 1 - days));
  else {
    if (filters.get("from")) asked.set("from", day(dateOf(filters.get("from")), 0));
    if (filters.get("to")) asked.set("to", day(dateOf(filters.get("to")), 1, true));
  }
  return asked;
}

/** The address of a search. `filters`: an object or URLSearchParams; what is empty is left out. */
export function addressOf(filters) {
  const asked = new URLSearchParams();
  const given = new URLSearchParams(filters);
  for (const name of FIELDS) if (given.get(name)) asked.set(name, given.get(name));
  if (asked.has("days")) { asked.delete("from"); asked.delete("to"); }
  if (given.get("before")) asked.set("before", given.get("before"));
  const text = String(asked);
  return text ? `#/history?${text}` : "#/history";
}
