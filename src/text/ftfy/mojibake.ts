/**
 * @file Repairs text that was decoded in a wrong encoding ("cafÃ©").
 *
 * The rules and character categories are those of ftfy 6.3 (Robyn Speer, Apache-2.0): its heuristic for what
 * looks broken, and its order of attempts. They are reproduced because prompts go through ftfy in training.
 */

import { type Codepage, codepages, encoded, windows1252 } from "./codepages.js";

/** ftfy's `fix_encoding`: repeats single repairs until nothing changes. */
export function fixEncoding(text: string): string {
  let fixed = text;
  for (;;) {
    const next = repairOnce(fixed);
    if (next === fixed) return fixed;
    fixed = next;
  }
}

/** C1 control characters replaced by Windows-1252's characters of the same codes. */
export function fixC1(text: string): string {
  return text.replace(/[\x80-\x9f]/g, (c) => windows1252(c.charCodeAt(0)));
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: matches ASCII with its control characters.
const ascii = /^[\x00-\x7f]*$/;

function repairOnce(text: string): string {
  if (ascii.test(text) || !isBad(text)) return text;
  const pages = codepages();
  for (const page of pages) {
    const fixed = asUtf8(text, page);
    if (fixed !== undefined) return fixed;
  }
  const fixed = repairParts(text, pages);
  if (fixed !== text) return fixed;
  return fixC1(text);
}

/** The text of `page`'s bytes read as UTF-8, or undefined. */
function asUtf8(text: string, page: Codepage): string | undefined {
  let bytes = encoded(text, page);
  if (bytes === undefined) return undefined;
  // In MacRoman a lost A0 looks like an en dash before a space.
  if (page.name !== "macintosh" && lostA0.test(bytes)) bytes = restoreA0(bytes);
  if (page.sloppy) bytes = bytes.replace(lossyUtf8, "\xef\xbf\xbd");
  try {
    return /[\xc0\xed]/.test(bytes) ? decodeVariants(bytes) : decodeUtf8(bytes);
  } catch {
    return undefined;
  }
}

function decodeUtf8(bytes: string): string {
  const raw = Uint8Array.from(bytes, (c) => c.charCodeAt(0));
  return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(raw);
}

/** UTF-8 with Java's long zero (C0 80) and CESU-8's surrogate pairs. */
function decodeVariants(bytes: string): string {
  const special = /(\xc0(?:\x80|\n$)|\xed[\xa0-\xaf][\x80-\xbf]\xed[\xb0-\xbf][\x80-\xbf])/;
  const parts = bytes.split(special).map((part, i) => {
    if (i % 2 === 0) return decodeUtf8(part);
    if (part[0] === "\xc0") return "\0";
    const [, a, b, , c, d] = [...part].map((byte) => byte.charCodeAt(0)) as [number, ...number[]];
    return String.fromCharCode(0xd000 | ((a! & 63) << 6) | (b! & 63), 0xd000 | ((c! & 63) << 6) | (d! & 63));
  });
  return parts.join("");
}

// UTF-8 in which a byte A0 was mistaken for a space; the lead bytes are those that give likely characters.
const lostA0 = new RegExp(
  [
    "[\xc2\xc3\xc5\xce\xd0\xd9] ",
    "[\xe2\xe3] [\x80-\x84\x86-\x9f\xa1-\xbf]",
    "[\xe0-\xe3][\x80-\x84\x86-\x9f\xa1-\xbf] ",
    "\xf0 [\x80-\xbf][\x80-\xbf]",
    "\xf0[\x80-\xbf] [\x80-\xbf]",
    "\xf0[\x80-\xbf][\x80-\xbf] ",
  ].join("|"),
);

// "à" as a word of its own keeps its space, except before the ends of Portuguese "àquele" and its kin.
function restoreA0(bytes: string): string {
  const words = bytes.replace(/\xc3 (?! |quele|quela|quilo|s )/g, "\xc3\xa0 ");
  return words.replace(new RegExp(lostA0, "g"), (found) => found.replaceAll(" ", "\xa0"));
}

// UTF-8 of which some bytes became U+FFFD (byte 1A) or, once in a sequence, a question mark.
const lossyUtf8 = new RegExp(
  [
    "[\xc2-\xdf]\x1a",
    "[\xc2\xc3]\\?",
    "\xed[\xa0-\xaf][\x1a?]\xed[\xb0-\xbf][\x1a?\x80-\xbf]",
    "\xed[\xa0-\xaf][\x1a?\x80-\xbf]\xed[\xb0-\xbf][\x1a?]",
    "[\xe0-\xef][\x1a?][\x1a\x80-\xbf]",
    "[\xe0-\xef][\x1a\x80-\xbf][\x1a?]",
    "[\xf0-\xf4][\x1a?][\x1a\x80-\xbf]{2}",
    "[\xf0-\xf4][\x1a\x80-\xbf][\x1a?][\x1a\x80-\xbf]",
    "[\xf0-\xf4][\x1a\x80-\xbf]{2}[\x1a?]",
    "\x1a",
  ].join("|"),
  "g",
);

/** Repairs the parts that look like UTF-8 on their own, where the whole fits no encoding. */
function repairParts(text: string, pages: Codepage[]): string {
  const length = [...text].length;
  return text.replace(utf8Lookalike(pages), (part) => {
    return [...part].length < length && isBad(part) ? fixEncoding(part) : part;
  });
}

/** Runs of characters that some Latin-1-like encoding gives for the bytes of UTF-8. */
function utf8Lookalike(pages: Codepage[]): RegExp {
  const latinLike = pages.filter(({ name }) => name === "latin-1" || name.startsWith("windows-"));
  const of = (first: number, end: number) =>
    latinLike.flatMap(({ characters }) => characters.slice(first, end)).join("");
  const continuation = of(0x80, 0xc0);
  // These also stand for themselves beside broken text.
  const strict = continuation.replace(/[–—―‘’‚“”„•…]/g, "");
  const lead2 = `[${of(0xc2, 0xe0)}][ ${continuation}]`;
  const lead3 = `[${of(0xe0, 0xf0)}][ ${continuation}]{2}`;
  const lead4 = `[${of(0xf0, 0xf1)}${of(0xf3, 0xf4)}][ ${continuation}]{3}`;
  return new RegExp(`(?<![${strict}])(?:${lead2}|${lead3}|${lead4})+`, "gu");
}

/** Whether characters stand side by side that hardly do in intended text. */
function isBad(text: string): boolean {
  return badness.test(text);
}

const common = "\\u00a0\\u00ad´·–—―’…";
const c1 = "\\u0080-\\u009f";
const bad = "¤¦¨ª¬¯¸ºƒˆˇ˘˛˜†‡‰⌐◊\\ufffd";
const law = "§¶";
const currency = "¢£¥₧€";
const opening = "¡©«¿΄΅‘‚“„•‹\\uf8ff";
const closing = "®»˝”›™";
const numeric = "±²³µ¹¼½¾×÷⁄№∂∆∏∑√∞∩∫≈≠≡≤≥";
const kaomoji = "°Ò-ÖÙ-Üò-öø-üŌŐŪŲ";
const upper = "À-ÑØÜÝĀĂĄĆČĎĐĒĖĘĚĞĢĪİĶĹĻĽŁŃŅŇŒŘŚŞŠŢŤŮŰŸŹŻŽҐ";
const lower = "ß-ñüāăąćčďđēėęěğģīįķĺļľłœŕśşšťźżžґﬁﬂ";
const upperCommon = "ÞΆΈΉΊΌΎΏΑ-ΫЁ-Я";
const lowerCommon = "ά-ωа-џ";
const box = "│┌┐┘├┤┬┼═-╬▀▄█▌▐-▓";
// What Python's \s and \w match.
const space = "\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000";
const word = "\\p{L}\\p{N}_";

const badness = new RegExp(
  [
    `[${c1}]`,
    `[${bad}${lower}${upper}${box}${opening}${closing}${currency}${numeric}${law}][${bad}]`,
    `[a-zA-Z][${lowerCommon}${upperCommon}][${bad}]`,
    `[${bad}][${lower}${upper}${box}${opening}${closing}${currency}${numeric}${law}]`,
    `[${lower}${lowerCommon}${box}${closing}${currency}${numeric}][${upper}]`,
    `[${box}${closing}${currency}${numeric}][${lower}]`,
    `[${lower}${box}${closing}][${currency}]`,
    `[${space}][${upper}][${currency}]`,
    `[${upper}${box}][${numeric}${law}]`,
    `[${lower}${upper}${box}${currency}${closing}][${opening}][${numeric}]`,
    `[${lower}${upper}${currency}${numeric}${box}${law}][${closing}][${opening}]`,
    `[${currency}${numeric}${box}][${opening}]`,
    `[a-z][${upper}][${opening}${currency}]`,
    `[${box}][${kaomoji}]`,
    `[${lower}${upper}${currency}${numeric}${opening}${closing}${law}][${box}]`,
    `[${box}][${closing}]`,
    `[${lower}${upper}][${opening}${closing}][${word}]`,
    // The French ligature before anything but a plain letter, and a degree sign after a capital.
    "[Œœ][^A-Za-z]",
    `[${upper}]°`,
    // Windows-1252: two characters, then Arabic (four, since its second ones are common), then Indic.
    `[ÂÃÎÐ][€œŠš¢£Ÿž\\xa0\\xad®°©·»${opening}${closing}–—´]`,
    "×[²³]",
    `(?:[ØÙ][${common}${currency}${bad}${numeric}${opening}ŸŠ®°µ»]){2}`,
    "à[²µ¹¼½¾]",
    // MacRoman.
    "√[±∂†≠®™´≤≥¥µø]",
    "≈[°¢]",
    "‚Ä[ìîïòôúùû†°¢π]",
    "‚[âó][àä°ê]",
    // Windows-1251: punctuation, Cyrillic, and twice broken punctuation near Latin letters.
    "вЂ",
    `[ВГРС][${c1}${bad}${opening}${closing}${currency}°µ][ВГРС]`,
    "ГўВЂВ[^\\n][A-Za-z ]",
    // "à", "á" and the no-break space, also where it became a plain one.
    "Ã[\\xa0¡]",
    `[a-z][${space}]?[ÃÂ] `,
    "^[ÃÂ] ",
    `[a-z.,?!${closing}]Â[ ${opening}${closing}]`,
    // Windows-1253 and 1257.
    "β€[™\\xa0Ά\\xad®°]",
    `[ΒΓΞΟ][${c1}${bad}${opening}${closing}${currency}°][ΒΓΞΟ]`,
    "ā€",
  ].join("|"),
  "u",
);
