/** @file Measures what was computed against golden data. Knows no models. */

import { type Bound, type Computed, type Golden, list, type Numbers, type Wanted } from "./row.js";

/** One tensor's comparison; `problem` says why it is out. */
export type TensorComparison = {
  readonly name: string;
  readonly bound: Bound;
  /** How far it is, by the bound's own measure. */
  readonly distance?: number;
  readonly psnr?: number;
  readonly problem?: string;
  /** Numbers that were left out. */
  readonly skipped?: number;
};

/** Every golden tensor's comparison, in the order of computing; those that were not computed come last. */
export function compare(computed: Computed, golden: Golden): TensorComparison[] {
  const order = [...computed.keys()].filter((name) => golden.has(name));
  const missing = [...golden.keys()].filter((name) => !computed.has(name));
  return [...order, ...missing].map((name) => compareTensor(name, computed.get(name), golden.get(name)!));
}

function compareTensor(
  name: string,
  got: Numbers | string | Error | undefined,
  wanted: Wanted,
): TensorComparison {
  const { bound, numbers, text, skip } = wanted;
  const out = (problem: string): TensorComparison => ({ name, bound, problem });
  if (got === undefined) return out("is in the golden data, but this build does not compute it");
  if (bound.kind === "refused") {
    return got instanceof Error ? { name, bound } : out("must be refused, as Diffusers does, got numbers");
  }
  if (bound.kind === "notFinite") {
    const numbersOnly = !(got instanceof Error) && (typeof got === "string" || everyFinite(got.data));
    return numbersOnly
      ? out("must be refused or not finite, as in Diffusers, got finite numbers")
      : { name, bound };
  }
  if (got instanceof Error) return out(got.message);
  if (text !== undefined)
    return got === text ? { name, bound } : out(`must be "${text}", got "${told(got)}"`);
  if (!numbers || typeof got === "string") throw new Error(`internal: ${name} has no golden numbers`);
  if (got.shape.join() !== numbers.shape.join()) {
    return out(`must have the shape [${numbers.shape.join(", ")}], got [${got.shape.join(", ")}]`);
  }
  if (!everyFinite(got.data)) return out("must be finite, got NaN or infinity");
  const kept = (data: Numbers["data"]) =>
    skip ? Array.from(data as ArrayLike<number>).filter((_, i) => !skip.has(i)) : data;
  const want = kept(numbers.data);
  if (!everyFinite(want)) return out("the golden data holds NaN or infinity");
  return { ...measured(name, bound, kept(got.data), want), ...(skip && { skipped: skip.size }) };
}

function measured(name: string, bound: Bound, got: Numbers["data"], want: Numbers["data"]): TensorComparison {
  const comparison = { name, bound, distance: relativeDifference(got, want) };
  switch (bound.kind) {
    case "equal": {
      const differ = countWhere(got, want, (a, b) => !Object.is(a, b));
      return differ === 0
        ? comparison
        : { ...comparison, problem: `must be equal, differs in ${differ} of ${want.length}` };
    }
    case "relative":
      return within(comparison, bound.most);
    case "each":
      return within({ ...comparison, distance: largest(differences(got, want, relativeTo)) }, bound.most);
    case "absolute":
      return within({ ...comparison, distance: largest(differences(got, want)) }, bound.most);
    case "vector":
      return within({ ...comparison, distance: lengthOfDifference(got, want) }, bound.most);
    case "quantile": {
      const sorted = differences(got, want).sort();
      const distance = sorted[Math.ceil(bound.share * sorted.length) - 1]!;
      const worst = sorted.at(-1)!;
      const checked = within({ ...comparison, distance }, bound.most);
      if (checked.problem !== undefined || worst <= bound.worst) return checked;
      return { ...checked, problem: `the worst number ${short(worst)} > ${short(bound.worst)}` };
    }
    case "psnr": {
      const psnr = psnrOf(got, want);
      if (psnr >= bound.least) return { ...comparison, psnr };
      return { ...comparison, psnr, problem: `PSNR ${psnr.toFixed(1)} dB < ${bound.least} dB` };
    }
    case "levels": {
      const far = countWhere(got, want, (a, b) => Math.abs(Number(a) - Number(b)) > 1);
      const share = countWhere(got, want, (a, b) => a !== b) / want.length;
      if (far === 0 && share < bound.share) return { name, bound };
      const percent = (100 * share).toFixed(2);
      return { name, bound, problem: `${far} values more than 1 level apart, ${percent} % differ` };
    }
    default:
      throw new Error(`internal: ${bound.kind} has nothing to measure`);
  }
}

const within = (comparison: TensorComparison & { distance: number }, most: number): TensorComparison =>
  comparison.distance <= most
    ? comparison
    : { ...comparison, problem: `${short(comparison.distance)} > ${short(most)}` };

const largest = (numbers: Float64Array) => numbers.reduce((most, x) => Math.max(x, most), 0);
const relativeTo = (difference: number, wanted: number) => (difference === 0 ? 0 : difference / wanted);

/** Of every number; `measure` takes the difference's and the golden number's magnitude. */
function differences(
  got: Numbers["data"],
  want: Numbers["data"],
  measure: (difference: number, wanted: number) => number = (difference) => difference,
): Float64Array {
  return Float64Array.from({ length: want.length }, (_, i) =>
    measure(Math.abs(Number(got[i]) - Number(want[i])), Math.abs(Number(want[i]))),
  );
}

function lengthOfDifference(got: Numbers["data"], want: Numbers["data"]): number {
  const length = (numbers: Float64Array) => Math.sqrt(numbers.reduce((sum, x) => sum + x * x, 0));
  return relativeTo(length(differences(got, want)), length(differences(want, new Float64Array(want.length))));
}

/** A magnitude of 0 allows no difference. */
function relativeDifference(got: Numbers["data"], want: Numbers["data"]): number {
  let [difference, magnitude] = [0, 0];
  for (let i = 0; i < want.length; i++) {
    // Integers beyond 2^53 are subtracted before they are rounded.
    const [a, b] = pair(got[i]!, want[i]!);
    const d = typeof a === "bigint" ? Number(a - (b as bigint)) : a - (b as number);
    difference = Math.max(difference, Math.abs(d));
    magnitude = Math.max(magnitude, Math.abs(Number(b)));
  }
  return difference === 0 ? 0 : difference / magnitude;
}

function psnrOf(got: Numbers["data"], want: Numbers["data"]): number {
  let sum = 0;
  for (let i = 0; i < want.length; i++) sum += (Number(got[i]) - Number(want[i])) ** 2;
  return sum === 0 ? Number.POSITIVE_INFINITY : -10 * Math.log10(sum / want.length);
}

function countWhere(
  got: Numbers["data"],
  want: Numbers["data"],
  test: (a: number | bigint, b: number | bigint) => boolean,
): number {
  let n = 0;
  for (let i = 0; i < want.length; i++) if (test(...pair(got[i]!, want[i]!))) n++;
  return n;
}

/** Both as bigint where either is. */
function pair(a: number | bigint, b: number | bigint): [number | bigint, number | bigint] {
  if (typeof a === typeof b) return [a, b];
  return Number.isInteger(Number(a)) && Number.isInteger(Number(b))
    ? [BigInt(a), BigInt(b)]
    : [Number(a), Number(b)];
}

function everyFinite(data: Numbers["data"]): boolean {
  for (let i = 0; i < data.length; i++)
    if (typeof data[i] === "number" && !Number.isFinite(data[i])) return false;
  return true;
}

const told = (got: Numbers | string) => (typeof got === "string" ? got : `${got.data.length} numbers`);

/** [n, ...] -> n tensors called `name[i]` */
export function apart(name: string, { data, shape }: Numbers): [string, Numbers][] {
  const [n = 0, ...rest] = shape;
  const size = rest.reduce((a, b) => a * b, 1);
  const piece = (i: number) => (data as Float32Array).slice(i * size, (i + 1) * size);
  return Array.from({ length: n }, (_, i) => [`${name}[${i}]`, list(piece(i), ...rest)]);
}

/** Two digits: "3.7e-6" */
export const short = (x: number): string => (x === 0 ? "0" : x.toExponential(1).replace(/\.0e/, "e"));
