/** @file Prints a conformance run: a line per row, and what it all comes to. */

import { short, type TensorComparison } from "./compare.js";
import type { Bound } from "./row.js";

/** A row that was compared, or that failed before it could be. */
export type Result = {
  readonly name: string;
  readonly comparisons: readonly TensorComparison[];
  /** Why nothing could be compared. */
  readonly error?: string;
};

export const failed = ({ error, comparisons }: Result): boolean =>
  error !== undefined || comparisons.some((v) => v.problem !== undefined);

/** The row's line; for a failure a second one names the first tensor that is out. */
export function line(result: Result): string {
  const { name, comparisons, error } = result;
  if (error !== undefined) return `FAIL  ${name.padEnd(52)} ${error}`;
  const worst = worstOf(comparisons);
  const psnrs = comparisons.flatMap((v) => (v.psnr === undefined ? [] : [v.psnr]));
  const skipped = comparisons.reduce((sum, v) => sum + (v.skipped ?? 0), 0);
  const figures = [
    worst ? `${short(worst.distance!).padStart(8)} of ${told(worst.bound).padEnd(6)}` : " ".repeat(18),
    psnrs.length > 0
      ? `PSNR ${Math.min(...psnrs)
          .toFixed(1)
          .replace("Infinity", "inf")} of 60 dB `
      : "",
    ` ${comparisons.length} ${comparisons.length === 1 ? "tensor" : "tensors"}`,
    worst && worst.distance! > 0 ? `, worst ${cut(worst.name)}` : "",
    skipped > 0 ? `; ${skipped} numbers left out, where Diffusers has none or rounding noise` : "",
  ];
  const text = `${failed(result) ? "FAIL" : "ok  "}  ${name.padEnd(52)} ${figures.join("")}`;
  const out = comparisons.filter((v) => v.problem !== undefined);
  if (out.length === 0) return text;
  const count = out.length > 1 ? ` (${out.length} are out)` : "";
  return `${text}\n      first out: ${out[0]!.name}: ${out[0]!.problem}${count}`;
}

/** Rows that agree and that failed, and how long it took. */
export function summary(results: readonly Result[], seconds: number): string {
  const bad = results.filter(failed).length;
  const good = results.length - bad;
  const tensors = results.reduce((sum, r) => sum + r.comparisons.length, 0);
  const passed = results.filter((r) => !failed(r)).flatMap((r) => r.comparisons);
  const largest = Math.max(0, ...passed.map((v) => (v.bound.kind === "relative" ? (v.distance ?? 0) : 0)));
  const counts = [
    `${good} ok`,
    `${bad} FAIL`,
    `${tensors} tensors`,
    `largest relative difference of what passed ${short(largest)}`,
    `${seconds.toFixed(1)} s`,
  ];
  const names = results.filter(failed).map((r) => `\n  FAIL ${r.name}`);
  return `\n${counts.join(", ")}${names.join("")}`;
}

/** The one that uses most of its tolerance. */
function worstOf(comparisons: readonly TensorComparison[]): TensorComparison | undefined {
  const measured = comparisons.filter((v) => v.distance !== undefined && v.bound.kind !== "psnr");
  return measured.reduce<TensorComparison | undefined>(
    (a, b) => (a && used(a) >= used(b) ? a : b),
    undefined,
  );
}

const used = ({ bound, distance = 0 }: TensorComparison): number =>
  distance === 0 ? 0 : "most" in bound ? distance / bound.most : Number.POSITIVE_INFINITY;

const told = (bound: Bound): string => ("most" in bound ? short(bound.most) : bound.kind);

/** Keeps the beginning, which names the entry, and the end, which names the tensor. */
const cut = (name: string): string =>
  name.length <= 72 ? name : `${name.slice(0, 20)}...${name.slice(-40)}`;
