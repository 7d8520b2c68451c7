/**
 * @file A grid of images: which two settings vary, how a user writes their values, and what each cell is generated
 * with. Shared by the command line and the page, so it must not know Node, the server or a document.
 */

import { InvalidRequest, listed } from "../errors.js";
import { type AxisKind, axisKinds, valuesOf } from "./values.js";

/** Values as the user wrote them, so that labels show the same text. */
export type Axis = { kind: AxisKind; values: readonly string[] };

/** Rows are the y axis. A grid without one has a single row. */
export type Axes = { x: Axis; y?: Axis };

/** What may vary, of a request of `POST /api/jobs`. */
export type Varied = {
  prompt: string;
  negativePrompt?: string | undefined;
  seed?: number | string | undefined;
  steps?: number | undefined;
  guidanceScale?: number | undefined;
  scheduler?: string | undefined;
};

export type Cell = { column: number; row: number };

/** A limit against slips of the keyboard. */
const mostCells = 400;

const otherNames: Readonly<Record<string, AxisKind>> = { words: "prompt", guidance: "guidanceScale" };

/** Reads "seed=1,2,3"; `field` is what errors call it. InvalidRequest. */
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
export function checkAxes({ x, y }: Axes, { prompt, negativePrompt = "" }: Varied): void {
  if (y?.kind === x.kind && x.kind !== "prompt") {
    const rule = `must vary another setting than x, got ${axisNames[y.kind]} twice. Choose another.`;
    throw new InvalidRequest("y", y.kind, rule);
  }
  for (const [field, axis] of Object.entries({ x, y })) {
    const [sought] = axis?.kind === "prompt" ? axis.values : [];
    if (sought === undefined || `${prompt}\n${negativePrompt}`.includes(sought)) continue;
    const rule = `must begin with words that are in the prompt, got "${sought}". They are replaced by each value.`;
    throw new InvalidRequest(field, sought, rule);
  }
  const count = x.values.length * (y?.values.length ?? 1);
  if (count > mostCells) {
    const rule = `must make at most ${mostCells} cells, got ${count}. Take values away.`;
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

/** What a cell is generated with: the base, with its column's and its row's value put in. */
export function cellSettings<T extends Varied>(base: T, { x, y }: Axes, { column, row }: Cell): T {
  const across = varied(base, x, column);
  return y ? varied(across, y, row) : across;
}

function varied<T extends Varied>(base: T, { kind, values }: Axis, index: number): T {
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

function replacedIn<T extends Varied>(base: T, sought: string, value: string): T {
  const { prompt, negativePrompt } = base;
  return {
    ...base,
    prompt: prompt.replaceAll(sought, () => value),
    ...(negativePrompt !== undefined && { negativePrompt: negativePrompt.replaceAll(sought, () => value) }),
  };
}

export const axisNames: Readonly<Record<AxisKind, string>> = {
  prompt: "prompt words",
  seed: "seed",
  steps: "steps",
  guidanceScale: "guidance",
  scheduler: "scheduler",
};

/** What stands above a column or beside a row. */
export function axisLabel({ kind, values }: Axis, index: number): string {
  const value = values[index]!;
  if (kind === "prompt") return value === "" ? "(without)" : value;
  if (kind === "scheduler") return value;
  return kind === "steps" ? `${value} steps` : `${axisNames[kind]} ${value}`;
}

/** How A1111's X/Y plot says in an image's text which settings vary. */
export function axesFields({ x, y }: Axes): (readonly [name: string, value: string])[] {
  const types: Readonly<Record<AxisKind, string>> = {
    prompt: "Prompt S/R",
    seed: "Seed",
    steps: "Steps",
    guidanceScale: "CFG Scale",
    scheduler: "Sampler",
  };
  const quoted = (value: string) => (/[,"]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value);
  const said = (letter: string, { kind, values }: Axis) =>
    [
      [`${letter} Type`, types[kind]],
      [`${letter} Values`, values.map(quoted).join(",")],
    ] as const;
  return [["Script", "X/Y/Z plot"], ...said("X", x), ...(y ? said("Y", y) : [])];
}
