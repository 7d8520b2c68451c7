/** @file Character references of HTML (`&eacute;`, `&#233;`) as ftfy reads them. */

import { windows1252 } from "./codepages.js";
import { namedCharacters } from "./entities.js";

/** Replaces references that end in a semicolon, except names that HTML does not have. */
export function unescapeHtml(text: string): string {
  const reference = /&#?[0-9A-Za-z]{1,24};/g;
  if (text.search(reference) < 0) return text;
  const named = entities();
  return text.replace(reference, (found) => {
    return found[1] === "#" ? numbered(found) : (named.get(found.slice(1, -1)) ?? found);
  });
}

// Without a semicolon these upper case names are HTML too, so names that begin with them are ambiguous.
const shortNames = ["AMP", "COPY", "ETH", "GT", "LT", "QUOT", "REG", "THORN"];

/** HTML's names, and all-caps spellings of lower case ones (`&EACUTE;`) where those are not ambiguous. */
function entities(): Map<string, string> {
  const named = new Map<string, string>();
  let code = 0;
  for (const entry of namedCharacters.trim().split(/\s+/)) {
    const [codes, names] = entry.split(":") as [string, string];
    const [step, ...more] = codes.split("+");
    code += step ? Number.parseInt(step, 16) : 1;
    const character = String.fromCodePoint(code, ...more.map((one) => Number.parseInt(one, 16)));
    for (const name of names.split(",")) named.set(name, character);
  }
  for (const [name, character] of [...named]) {
    const upper = name.toUpperCase();
    const ambiguous = named.has(upper) || shortNames.some((short) => upper.startsWith(short));
    if (name === name.toLowerCase() && !ambiguous) named.set(upper, character.toUpperCase());
  }
  return named;
}

/** `&#233;` and `&#xE9;`. Source: WHATWG HTML, "numeric character reference end state". */
function numbered(found: string): string {
  const digits = /^&#(?:[xX]([0-9a-fA-F]+)|([0-9]+));$/.exec(found);
  if (!digits) return found;
  const code = digits[1] ? Number.parseInt(digits[1], 16) : Number.parseInt(digits[2]!, 10);
  if (code === 0x3b) return found; // To ftfy a semicolon in the result is an unfinished reference.
  if (code === 0 || (code >= 0xd800 && code <= 0xdfff) || code > 0x10ffff) return "\ufffd";
  if (code >= 0x80 && code <= 0x9f) return windows1252(code);
  return isForbidden(code) ? "" : String.fromCodePoint(code);
}

const isForbidden = (code: number) =>
  (code < 0x20 && ![0x9, 0xa, 0xc, 0xd].includes(code)) ||
  code === 0x7f ||
  (code >= 0xfdd0 && code <= 0xfdef) ||
  (code & 0xfffe) === 0xfffe;
