/**
 * @file The axes of a grid of images: the two settings that vary, and the settings of each cell. Used by the command line
 * and the page, so it must not import Node or the server.
 */

import { InvalidRequest, listed } from "../errors.js";
import { alternativesOf, type Wildcards } from "../text/dynamic-prompts.js";
import { type AxisKind, axisKinds, valuesOf } from "./values.js";

/** Values as the user wrote them, for labels. `replaced` is what words take the place of, the first value if left out. */
export type Axis = { kind: AxisKind; values: readonly string[]; replaced?: string };

/** Rows are the y axis. A grid without one has a single row. */
export type Axes = { x: Axis; y?: Axis };

/** The settings of `POST /api/jobs` that can vary. */
export type VariedSettings = {
  prompt: string;
  negativePrompt?: string | undefined;
  seed?: number | string | undefined;
  steps?: number | undefined;
  guidanceScale?: number | undefined;
  scheduler?: string | undefined;
};

export type Cell = { column: number; row: number };

/** A grid of more cells is most likely a typing error. */
const maxCells = 400;

const otherNames: Readonly<Record<string, AxisKind>> = { words: "prompt", guidance: "guidanceScale" };

/** Reads "seed=1,2,3"; `field` is its name in errors, `wildcards` are what "prompt=__color__" takes. InvalidRequest. */
export function parseAxis(field: string, text: string, wildcards?: Wildcards): Axis {
  const split = text.indexOf("=");
  const name = text.slice(0, Math.max(0, split)).trim();
  const other = Object.hasOwn(otherNames, name) ? otherNames[name] : undefined;
  const kind = axisKinds.find((known) => known === name) ?? other;
  if (kind !== undefined) return axisOf(field, kind, text.slice(split + 1), wildcards);
  const known = listed(["prompt", "seed", "steps", "guidance", "scheduler"]);
  const rule = `must be SETTING=VALUES with a setting of ${known}, got ${JSON.stringify(text)}`;
  throw new InvalidRequest(field, text, `${rule}. Write for example seed=1,2,3 or "prompt=red,blue".`);
}

/** The axis of a setting. For words, "{red|blue}" are the alternatives that take the place of this text in the prompt. */
export function axisOf(field: string, kind: AxisKind, text: string, wildcards?: Wildcards): Axis {
  const replaced = text.trim();
  const options = { field, ...(wildcards && { wildcards }) };
  const alternatives = kind === "prompt" ? alternativesOf(replaced, options) : undefined;
  if (alternatives) return { kind, values: [...new Set(alternatives)], replaced };
  return { kind, values: valuesOf(field, kind, text) };
}

/** The text that each value takes the place of. */
const replacedBy = ({ values, replaced = values[0]! }: Axis): string => replaced;

/** Refuses axes that do not fit each other or the prompt; InvalidRequest names x or y. */
export function checkAxes({ x, y }: Axes, { prompt, negativePrompt = "" }: VariedSettings): void {
  if (y?.kind === x.kind && x.kind !== "prompt") {
    const rule = `must vary another setting than x, got ${axisNames[y.kind]} twice. Choose another.`;
    throw new InvalidRequest("y", y.kind, rule);
  }
  for (const [field, axis] of Object.entries({ x, y })) {
    const replaced = axis?.kind === "prompt" ? replacedBy(axis) : undefined;
    if (replaced === undefined || `${prompt}\n${negativePrompt}`.includes(replaced)) continue;
    const rule = `must begin with words that are in the prompt, got "${replaced}". They are replaced by each value.`;
    throw new InvalidRequest(field, replaced, rule);
  }
  const count = x.values.length * (y?.values.length ?? 1);
  if (count > maxCells) {
    const rule = `must make at most ${maxCells} cells, got ${count}. Take values away.`;
    throw new InvalidRequest("x", count, rule);
  }
}

/** Row by row, as they are generated. */
export function cellsOf({ x, y }: Axes): Cell[] {
  const rows = y?.values.length ?? 1;
  return Array.from({ length: rows * x.values.length }, (_, i) => ({
    column: i % x.values.length,
    row: Math.floor(i / x.values.length),
  }));
}

/** A cell's settings: the base, with the values of its column and row. */
export function cellSettings<T extends VariedSettings>(base: T, { x, y }: Axes, { column, row }: Cell): T {
  const across = varied(base, x, column);
  return y ? varied(across, y, row) : across;
}

function varied<T extends VariedSettings>(base: T, axis: Axis, index: number): T {
  const { kind, values } = axis;
  const value = values[index]!;
  switch (kind) {
    case "prompt":
      return replacedIn(base, replacedBy(axis), value);
    case "seed":
    case "scheduler":
      return { ...base, [kind]: value };
    case "steps":
    case "guidanceScale":
      return { ...base, [kind]: Number(value) };
    default:
      return kind satisfies never;
  }
}

function replacedIn<T extends VariedSettings>(base: T, replaced: string, value: string): T {
  const { prompt, negativePrompt } = base;
  return {
    ...base,
    prompt: prompt.replaceAll(replaced, () => value),
    ...(negativePrompt !== undefined && { negativePrompt: negativePrompt.replaceAll(replaced, () => value) }),
  };
}

export const axisNames: Readonly<Record<AxisKind, string>> = {
  prompt: "prompt words",
  seed: "seed",
  steps: "steps",
  guidanceScale: "guidance",
  scheduler: "scheduler",
};

/** The label of a column or row. */
export function axisLabel({ kind, values }: Axis, index: number): string {
  const value = values[index]!;
  if (kind === "prompt") return value === "" ? "(without)" : value;
  if (kind === "scheduler") return value;
  return kind === "steps" ? `${value} steps` : `${axisNames[kind]} ${value}`;
}

/** The fields of A1111's X/Y plot in an image's text. */
export function axesFields({ x, y }: Axes): (readonly [name: string, value: string])[] {
  const types: Readonly<Record<AxisKind, string>> = {
    prompt: "Prompt S/R",
    seed: "Seed",
    steps: "Steps",
    guidanceScale: "CFG Scale",
    scheduler: "Sampler",
  };
  const quoted = (value: string) => (/[,"]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value);
  const fieldsOf = (letter: string, { kind, values }: Axis) =>
    [
      [`${letter} Type`, types[kind]],
      [`${letter} Values`, values.map(quoted).join(",")],
    ] as const;
  return [["Script", "X/Y/Z plot"], ...fieldsOf("X", x), ...(y ? fieldsOf("Y", y) : [])];
}
