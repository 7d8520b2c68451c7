/** @file Finds the position of the first error in a JSON text, and keys that occur twice, which JSON.parse does not give. */

export type JsonFault = { position: number } | { duplicate: string };

const scalar = /^(?:-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null)$/;
const space = " \t\n\r";
const endsScalar = `${space}{}[],:"`;

/** The first fault of a JSON text, or undefined for a valid text whose objects have each key once. */
export function jsonFault(text: string): JsonFault | undefined {
  // One entry per open bracket: the keys so far of an object, undefined for a list.
  const open: (Set<string> | undefined)[] = [];
  let expected = "value";
  for (let i = 0; i < text.length; ) {
    const c = text[i]!;
    if (space.includes(c)) {
      i++;
      continue;
    }
    const start = i;
    const token = readToken(text, i);
    const next = follow(expected, c, open);
    if (next === undefined) return { position: start };
    if (!token.valid) return { position: token.end };
    i = token.end;
    if (expected.startsWith("key") && c === '"') {
      const key: string = JSON.parse(text.slice(start, i));
      if (open.at(-1)!.has(key)) return { duplicate: key };
      open.at(-1)!.add(key);
    }
    expected = next;
  }
  return expected === "nothing" ? undefined : { position: text.length };
}

/** What may come after a token that begins with `c`, undefined where it must not stand; keeps `open`. */
function follow(expected: string, c: string, open: (Set<string> | undefined)[]): string | undefined {
  const inObject = open.at(-1) !== undefined;
  if (c === "}" || c === "]") {
    const closes = expected === "comma or end" || expected === (c === "}" ? "key or end" : "value or end");
    if (!closes || open.length === 0 || inObject !== (c === "}")) return undefined;
    open.pop();
    return open.length ? "comma or end" : "nothing";
  }
  if (c === ":") return expected === "colon" ? "value" : undefined;
  if (c === ",") return expected !== "comma or end" ? undefined : inObject ? "key" : "value";
  if (expected.startsWith("key")) return c === '"' ? "colon" : undefined;
  if (!expected.startsWith("value")) return undefined;
  if (c !== "{" && c !== "[") return open.length ? "comma or end" : "nothing";
  open.push(c === "{" ? new Set() : undefined);
  return c === "{" ? "key or end" : "value or end";
}

type Token = { valid: boolean; end: number };

/** Where the token at `start` ends, or where it breaks. */
function readToken(text: string, start: number): Token {
  if (text[start] === '"') return readString(text, start);
  if ("{}[],:".includes(text[start]!)) return { valid: true, end: start + 1 };
  let end = start;
  while (end < text.length && !endsScalar.includes(text[end]!)) end++;
  return scalar.test(text.slice(start, end)) ? { valid: true, end } : { valid: false, end: start };
}

function readString(text: string, start: number): Token {
  for (let i = start + 1; i < text.length; i++) {
    const c = text[i]!;
    if (c === '"') return { valid: true, end: i + 1 };
    if (c < " ") return { valid: false, end: i };
    if (c !== "\\") continue;
    if (!/^(?:["\\/bfnrt]|u[0-9a-fA-F]{4})/.test(text.slice(i + 1, i + 6))) return { valid: false, end: i };
    i++;
  }
  return { valid: false, end: text.length };
}
