/** @file The settings that can vary in a grid, and the syntax of their values: `1,2,3`, `1-4`, `4-20+4`, `red,"blue, dark"`. */

import { InvalidRequest } from "../errors.js";

export const axisKinds = ["prompt", "seed", "steps", "guidanceScale", "scheduler"] as const;
/** A setting that can vary along an axis. */
export type AxisKind = (typeof axisKinds)[number];

/** The values of a list, each once, in order. InvalidRequest. */
export function valuesOf(field: string, kind: AxisKind, text: string): string[] {
  const parts = split(text);
  const values = parts.flatMap((part) => (isNumber(kind) ? numbers(field, kind, part) : [part]));
  const different = [...new Set(kind === "prompt" ? values : values.filter((value) => value !== ""))];
  if (different.length > 0 && different[0] !== "") return different;
  throw new InvalidRequest(field, text, `must have at least one value, got none. ${valueExamples[kind]}`);
}

export const valueExamples: Readonly<Record<AxisKind, string>> = {
  prompt:
    "Write words of the prompt, then their replacements: red, blue, green. Or its alternatives: {red|blue}.",
  seed: "Write for example 1, 2, 3 or 1-6.",
  steps: "Write for example 4, 8, 16 or 4-20+4.",
  guidanceScale: "Write for example 1, 3.5, 7.",
  scheduler: "Write for example euler, dpmpp-2m-karras.",
};

type NumberKind = Exclude<AxisKind, "prompt" | "scheduler">;
const isNumber = (kind: AxisKind): kind is NumberKind => kind !== "prompt" && kind !== "scheduler";

const rules: Readonly<Record<NumberKind, { what: string; valid: (value: string) => boolean }>> = {
  seed: { what: "integers from 0", valid: (value) => /^\d{1,20}$/.test(value) },
  steps: {
    what: "integers from 1 to 1000",
    valid: (value) => /^\d{1,4}$/.test(value) && Number(value) >= 1 && Number(value) <= 1000,
  },
  guidanceScale: {
    what: "numbers from 0 to 100",
    valid: (value) => /^\d+(\.\d+)?$/.test(value) && Number(value) <= 100,
  },
};

/** "7" is one value, "1-4" four, "4-20+4" every fourth. */
function numbers(field: string, kind: NumberKind, part: string): string[] {
  if (part === "") return [];
  const { what, valid } = rules[kind];
  const [, first, last, by = "1"] = /^([\d.]+)\s*-\s*([\d.]+)(?:\s*\+\s*([\d.]+))?$/.exec(part) ?? [];
  const ranged = kind === "seed" ? wholeRange : range;
  const values = first === undefined ? [part] : ranged(first, last!, by);
  const [wrong] = values.length === 0 ? [part] : values.filter((value) => !valid(value));
  if (wrong === undefined) return values;
  throw new InvalidRequest(
    field,
    part,
    `must be ${what}, got ${JSON.stringify(part.slice(0, 80))}. ${valueExamples[kind]}`,
  );
}

const maxInRange = 1000;

function range(...bounds: [first: string, last: string, by: string]): string[] {
  const [first, last, by] = bounds.map(Number) as [number, number, number];
  const count = Math.floor((last - first) / by + 1e-9) + 1;
  if (!(by > 0) || !(count >= 1) || count > maxInRange) return [];
  return Array.from({ length: count }, (_, i) => String(Number((first + i * by).toFixed(6))));
}

/** Seeds have 64 bits, of which a number keeps 53. */
function wholeRange(...bounds: [first: string, last: string, by: string]): string[] {
  if (!bounds.every((bound) => /^\d{1,20}$/.test(bound))) return [];
  const [first, last, by] = bounds.map(BigInt) as [bigint, bigint, bigint];
  if (by === 0n || last < first || (last - first) / by >= maxInRange) return [];
  return Array.from({ length: Number((last - first) / by) + 1 }, (_, i) => String(first + BigInt(i) * by));
}

/** Splits at commas outside double quotes; inside them, two double quotes are one. */
function split(text: string): string[] {
  const parts: string[] = [""];
  let quoted = false;
  for (const letter of text) {
    if (letter === '"') quoted = !quoted;
    if (letter === "," && !quoted) parts.push("");
    else parts[parts.length - 1] += letter;
  }
  return parts
    .map((part) => part.trim())
    .map((part) => (/^"(?:[^"]|"")*"$/.test(part) ? part.slice(1, -1).replaceAll('""', '"') : part));
}
