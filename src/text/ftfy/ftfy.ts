/** @file Cleans prompts as `ftfy.fix_text` does with its default options. */

import { unescapeHtml } from "./html.js";
import { fixC1, fixEncoding } from "./mojibake.js";

/** The text with entities, mojibake, ligatures, widths, quotes, line breaks and control characters repaired. */
export function fixText(text: string): string {
  let markup = false;
  const lines = text.match(/[^\n]*\n|[^\n]+$/g) ?? [];
  return lines
    .map((line) => {
      // From a "<" on the text is HTML, whose entities are kept.
      markup ||= line.includes("<");
      return fixLine(line, markup);
    })
    .join("");
}

function fixLine(line: string, markup: boolean): string {
  let text = line;
  for (;;) {
    const next = fixOnce(text, markup);
    if (next === text) return text;
    text = next;
  }
}

function fixOnce(text: string, markup: boolean): string {
  const steps = [fixEncoding, fixC1, fixLigatures, fixWidth, uncurlQuotes, fixLineBreaks, fixSurrogates];
  const fixed = [...steps, removeTerminalEscapes, removeControls].reduce(
    (t, step) => step(t),
    markup ? text : unescapeHtml(text),
  );
  return fixed.normalize("NFC");
}

/** Latin ligatures, and digraphs that legacy encodings made one character. */
function fixLigatures(text: string): string {
  return text
    .replace(/[ĲĳǄ-ǌǱ-ǳﬀ-ﬄﬆ]/g, (c) => c.normalize("NFKC"))
    .replace(/[ŉﬅ]/g, (c) => (c === "ŉ" ? "\u02bcn" : "ſt"));
}

const fixWidth = (text: string) => text.replace(/[\u3000\uff01-\uffef]/g, (c) => c.normalize("NFKC"));

const uncurlQuotes = (text: string) =>
  text.replace(/[\u201c-\u201f]/g, '"').replace(/[\u02bc\u2018-\u201b]/g, "'");

const fixLineBreaks = (text: string) => text.replace(/\r\n?|[\u2028\u2029\x85]/g, "\n");

const fixSurrogates = (text: string) => text.replace(/\p{Surrogate}/gu, "\ufffd");

// biome-ignore lint/suspicious/noControlCharactersInRegex: matches the escape character.
const removeTerminalEscapes = (text: string) => text.replace(/\x1b\[[\p{Nd};]*[a-zA-Z]/gu, "");

const removeControls = (text: string) =>
  // biome-ignore lint/suspicious/noControlCharactersInRegex: matches control characters.
  text.replace(/[\0-\x08\x0b\x0e-\x1f\x7f\u206a-\u206f\ufeff\ufff9-\ufffc]/g, "");
