/**
 * @file Bounds of the depth and size of a request's JSON, counted in its bytes before it is parsed: 16 MB hold a million
 * keys, or so many brackets that code which walks the value overflows the stack. Does not check the grammar.
 */

import { HttpError } from "./problem.js";

/** Lists and objects inside each other, and values in all of them; far above what any request needs. */
export const mostDepth = 64;
export const mostValues = 10_000;

const [quote, backslash, comma, opensList, closesList, opensObject, closesObject] = Buffer.from('"\\,[]{}');

/** Throws where a text of JSON nests too deep or holds too many values. */
export function checkJson(bytes: Uint8Array): void {
  let [depth, values] = [0, 1];
  for (let at = 0; at < bytes.length; at++) {
    switch (bytes[at]) {
      case quote:
        at = endOfString(bytes, at);
        break;
      case opensList:
      case opensObject:
        if (++depth > mostDepth) throw beyond(`nest at most ${mostDepth} deep`);
        values++;
        break;
      case closesList:
      case closesObject:
        depth--;
        break;
      case comma:
        values++;
        break;
    }
    if (values > mostValues) throw beyond(`hold at most ${mostValues} values`);
  }
}

/** Where the string that begins at `start` ends: at the next quote that no odd number of backslashes comes before. */
function endOfString(bytes: Uint8Array, start: number): number {
  for (let at = start; ; ) {
    at = bytes.indexOf(quote!, at + 1);
    if (at < 0) return bytes.length;
    let before = at;
    while (bytes[before - 1] === backslash) before--;
    if ((at - before) % 2 === 0) return at;
  }
}

function beyond(rule: string): HttpError {
  const message = `body: must ${rule}, got more. Send less.`;
  return new HttpError({ status: 400, code: "bad_request", message });
}
