// Addresses of a call on this page: a moment of it, and another call beside it. Pure.

/** A part of an address without its escapes; what is no escape stays. */
export function decoded(text) {
  try { return decodeURIComponent(text); } catch { return text; }
}

/** What an address without its first `#` names, where it names a call: `/calls/<id>?t=83.2&with=<id>`; `/calls/<id>#t=83.2`
 * is the same moment. null: no call. */
export function callPlace(address) {
  const [, id, more = ""] = /^\/calls\/([^?#]+)[?#]?(.*)$/.exec(address) ?? [];
  if (!id) return null;
  const told = new URLSearchParams(more.replaceAll(/[?#]/g, "&"));
  const seconds = /^\d{1,7}(\.\d{1,6})?$/.test(told.get("t") ?? "") ? Number(told.get("t")) : null;
  return { view: "call", call: decoded(id), at: seconds, beside: told.get("with") ?? "" };
}

/** The address of a call, of this moment (null: of none) and with this call beside it ("": with none). */
export function placeOf(call, at = null, beside = "") {
  const more = [at === null ? "" : `t=${Number(at.toFixed(3))}`, beside ? `with=${encodeURIComponent(beside)}` : ""].filter(Boolean).join("&");
  return `#/calls/${encodeURIComponent(call)}${more ? `?${more}` : ""}`;
}

/** The place of the last item at or before this moment in a list that is in order; -1: none. */
export function lastAt(items, at, timeOf = (item) => item.at) {
  let low = 0, high = items.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (timeOf(items[middle]) <= at + 0.0005) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}
