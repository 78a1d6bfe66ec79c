// What the server says of a request, in the words of a page: it names fields as its API does, and speaks to programs too.

const EXAMPLE = /[,:;] (?:such as|send) \{.*\}[^.]*(?=\.)/g;
const REQUEST = /[:;] (?:GET|POST|PUT|DELETE) \/[^.]*(?=\.$)/;

/** A sentence without what only programs can use: an example in JSON, and the request that tells more. */
export const forPeople = (sentence) => sentence.replace(EXAMPLE, "").replace(REQUEST, "");

/** Name the fields in an error as the page does. `labels`: by the API's names. Returns the error. */
export function named(error, labels) {
  const label = (name, other) => (Object.hasOwn(labels, name) ? `“${labels[name]}”` : other);
  const words = (sentence) => sentence
    .replace(/^[\w.]+(?= (?:must|is|are|has|holds|needs)\b)/, (name) => label(name, name))
    .replace(/(?<!not )"([\w.]+)"/g, (quoted, name) => label(name, quoted));
  error.message = words(error.message);
  error.problems = error.problems?.map(words);
  return error;
}
