/** @file Formats a conformance run: a line per check and the summary. */

import type { Tolerance } from "./check.js";
import { type CheckResult, type TensorComparison, twoDigits } from "./compare.js";

export const failed = ({ error, tensors }: CheckResult): boolean =>
  error !== undefined || tensors.some((v) => v.problem !== undefined);

/** The row's line; for a failure a second one names the first tensor that is out. */
export function reportLine(result: CheckResult): string {
  const { name, tensors, error, notCovered } = result;
  if (notCovered !== undefined) return `----  ${name.padEnd(52)} not covered: ${notCovered}`;
  if (error !== undefined) return `FAIL  ${name.padEnd(52)} ${error}`;
  const worst = worstOf(tensors);
  const psnrs = tensors.flatMap(({ psnr, tolerance }) =>
    psnr === undefined || tolerance.kind !== "psnr" ? [] : [{ psnr, least: tolerance.least }],
  );
  const skipped = tensors.reduce((sum, v) => sum + (v.skipped ?? 0), 0);
  const figures = [
    worst
      ? `${twoDigits(worst.distance!).padStart(8)} of ${describeTolerance(worst.tolerance).padEnd(6)}`
      : " ".repeat(18),
    psnrs.length > 0
      ? `PSNR ${Math.min(...psnrs.map(({ psnr }) => psnr))
          .toFixed(1)
          .replace("Infinity", "inf")} of ${Math.round(psnrs[0]!.least)} dB `
      : "",
    ` ${tensors.length} ${tensors.length === 1 ? "tensor" : "tensors"}`,
    worst && worst.distance! > 0 ? `, worst ${shorten(worst.name)}` : "",
    skipped > 0 ? `; ${skipped} numbers left out, where Diffusers has none or rounding noise` : "",
  ];
  const text = `${failed(result) ? "FAIL" : "ok  "}  ${name.padEnd(52)} ${figures.join("")}`;
  const out = tensors.filter((v) => v.problem !== undefined);
  if (out.length === 0) return text;
  const count = out.length > 1 ? ` (${out.length} are out)` : "";
  return `${text}\n      first out: ${out[0]!.name}: ${out[0]!.problem}${count}`;
}

/** Rows that agree and that failed, and how long it took. */
export function summary(results: readonly CheckResult[], seconds: number): string {
  const bad = results.filter(failed).length;
  const uncovered = results.filter((r) => r.notCovered !== undefined).length;
  const good = results.length - bad - uncovered;
  const tensors = results.reduce((sum, r) => sum + r.tensors.length, 0);
  const passed = results.filter((r) => !failed(r)).flatMap((r) => r.tensors);
  const largest = Math.max(
    0,
    ...passed.map((v) => (v.tolerance.kind === "relative" ? (v.distance ?? 0) : 0)),
  );
  const counts = [
    `${good} ok`,
    `${bad} FAIL`,
    ...(uncovered > 0 ? [`${uncovered} not covered`] : []),
    `${tensors} tensors`,
    `largest relative difference of what passed ${twoDigits(largest)}`,
    `${seconds.toFixed(1)} s`,
  ];
  const names = results.filter(failed).map((r) => `\n  FAIL ${r.name}`);
  return `\n${counts.join(", ")}${names.join("")}`;
}

/** The one that uses most of its tolerance. */
function worstOf(tensors: readonly TensorComparison[]): TensorComparison | undefined {
  const measured = tensors.filter((v) => v.distance !== undefined && v.tolerance.kind !== "psnr");
  return measured.reduce<TensorComparison | undefined>(
    (a, b) => (a && toleranceUsed(a) >= toleranceUsed(b) ? a : b),
    undefined,
  );
}

const toleranceUsed = ({ tolerance, distance = 0 }: TensorComparison): number =>
  distance === 0 ? 0 : "most" in tolerance ? distance / tolerance.most : Number.POSITIVE_INFINITY;

const describeTolerance = (tolerance: Tolerance): string =>
  "most" in tolerance ? twoDigits(tolerance.most) : tolerance.kind;

/** Keeps the beginning, which names the entry, and the end, which names the tensor. */
const shorten = (name: string): string =>
  name.length <= 72 ? name : `${name.slice(0, 20)}...${name.slice(-40)}`;
