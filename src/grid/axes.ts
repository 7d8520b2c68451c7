/**
 * @file The axes of a grid of images: the two settings that vary, and the settings of each cell. Used by the command line
 * and the page, so it must not import Node or the server.
 */

import { InvalidRequest, listed } from "../errors.js";
import { type AxisKind, axisKinds, valuesOf } from "./values.js";

/** Values as the user wrote them, for labels. */
export type Axis = { kind: AxisKind; values: readonly string[] };

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

/** Reads "seed=1,2,3"; `field` is its name in errors. InvalidRequest. */
export function parseAxis(field: string, text: string): Axis {
  const split = text.indexOf("=");
  const name = text.slice(0, Math.max(0, split)).trim();
  const other = Object.hasOwn(otherNames, name) ? otherNames[name] : undefined;
  const kind = axisKinds.find((known) => known === name) ?? other;
  if (kind !== undefined) return { kind, values: valuesOf(field, kind, text.slice(split + 1)) };
  const known = listed(["prompt", "seed", "steps", "guidance", "scheduler"]);
  const rule = `must be SETTING=VALUES with a setting of ${known}, got ${JSON.stringify(text)}`;
  throw new InvalidRequest(field, text, `${rule}. Write for example seed=1,2,3 or "prompt=red,blue".`);
}

/** Refuses axes that do not fit each other or the prompt; InvalidRequest names x or y. */
export function checkAxes({ x, y }: Axes, { prompt, negativePrompt = "" }: VariedSettings): void {
  if (y?.kind === x.kind && x.kind !== "prompt") {
    const rule = `must vary another setting than x, got ${axisNames[y.kind]} twice. Choose another.`;
    throw new InvalidRequest("y", y.kind, rule);
  }
  for (const [field, axis] of Object.entries({ x, y })) {
    const [replaced] = axis?.kind === "prompt" ? axis.values : [];
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

function varied<T extends VariedSettings>(base: T, { kind, values }: Axis, index: number): T {
  const value = values[index]!;
  switch (kind) {
    case "prompt":
      return replacedIn(base, values[0]!, value);
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
