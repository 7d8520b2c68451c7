/** @file Compares computed tensors with golden data, each within its tolerance. Must not import models. */

import {
  type Check,
  type Computed,
  type Expectation,
  type Expectations,
  type TensorData,
  type Tolerance,
  tensorData,
} from "./check.js";

/** One tensor's comparison; `problem` says why it is out of tolerance. */
export type TensorComparison = {
  readonly name: string;
  readonly tolerance: Tolerance;
  /** How far it is, in the tolerance's own measure. */
  readonly distance?: number;
  readonly psnr?: number;
  readonly problem?: string;
  /** Numbers that were left out. */
  readonly skipped?: number;
};

/** A check that was compared, or that failed before it could be. */
export type CheckResult = {
  readonly name: string;
  readonly tensors: readonly TensorComparison[];
  /** Why nothing could be compared. */
  readonly error?: string;
  /** Why this build compares nothing here. */
  readonly notCovered?: string;
};

/** Computes, then opens the golden data, then compares. */
export async function runCheck({ name, compute, expected, notCovered }: Check): Promise<CheckResult> {
  if (notCovered !== undefined) return { name, tensors: [], notCovered };
  try {
    const computed = await compute();
    const golden = await expected();
    if (golden.size === 0) throw new Error("its golden data holds nothing to compare");
    return { name, tensors: compareTensors(computed, golden) };
  } catch (error) {
    return { name, tensors: [], error: (error as Error).message };
  }
}

/** Every golden tensor's result, in the order of computing; those that were not computed come last. */
function compareTensors(computed: Computed, golden: Expectations): TensorComparison[] {
  const order = [...computed.keys()].filter((name) => golden.has(name));
  const missing = [...golden.keys()].filter((name) => !computed.has(name));
  return [...order, ...missing].map((name) => compareTensor(name, computed.get(name), golden.get(name)!));
}

function compareTensor(
  name: string,
  got: TensorData | string | Error | undefined,
  expected: Expectation,
): TensorComparison {
  const { tolerance, numbers, text, skip } = expected;
  const out = (problem: string): TensorComparison => ({ name, tolerance, problem });
  if (got === undefined) return out("is in the golden data, but this build does not compute it");
  if (tolerance.kind === "refused") {
    return got instanceof Error
      ? { name, tolerance }
      : out("must be refused, as Diffusers does, got numbers");
  }
  if (tolerance.kind === "notFinite") {
    const numbersOnly = !(got instanceof Error) && (typeof got === "string" || everyFinite(got.data));
    return numbersOnly
      ? out("must be refused or not finite, as in Diffusers, got finite numbers")
      : { name, tolerance };
  }
  if (got instanceof Error) return out(got.message);
  if (text !== undefined)
    return got === text ? { name, tolerance } : out(`must be "${text}", got "${describe(got)}"`);
  if (!numbers || typeof got === "string") throw new Error(`internal: ${name} has no golden numbers`);
  if (got.shape.join() !== numbers.shape.join()) {
    return out(`must have the shape [${numbers.shape.join(", ")}], got [${got.shape.join(", ")}]`);
  }
  if (!everyFinite(got.data)) return out("must be finite, got NaN or infinity");
  const kept = (data: TensorData["data"]) =>
    skip ? Array.from(data as ArrayLike<number>).filter((_, i) => !skip.has(i)) : data;
  const want = kept(numbers.data);
  if (!everyFinite(want)) return out("the golden data holds NaN or infinity");
  return { ...measure(name, tolerance, kept(got.data), want), ...(skip && { skipped: skip.size }) };
}

function measure(
  name: string,
  tolerance: Tolerance,
  got: TensorData["data"],
  want: TensorData["data"],
): TensorComparison {
  const result = { name, tolerance, distance: relativeDifference(got, want) };
  switch (tolerance.kind) {
    case "equal": {
      const differ = countWhere(got, want, (a, b) => !Object.is(a, b));
      return differ === 0
        ? result
        : { ...result, problem: `must be equal, differs in ${differ} of ${want.length}` };
    }
    case "relative":
      return within(result, tolerance.most);
    case "each":
      return within({ ...result, distance: largest(differences(got, want, relativeTo)) }, tolerance.most);
    case "absolute":
      return within({ ...result, distance: largest(differences(got, want)) }, tolerance.most);
    case "vector":
      return within({ ...result, distance: lengthOfDifference(got, want) }, tolerance.most);
    case "quantile": {
      const sorted = differences(got, want).sort();
      const distance = sorted[Math.ceil(tolerance.share * sorted.length) - 1]!;
      const worst = sorted.at(-1)!;
      const measured = within({ ...result, distance }, tolerance.most);
      if (measured.problem !== undefined || worst <= tolerance.worst) return measured;
      return { ...measured, problem: `the worst number ${twoDigits(worst)} > ${twoDigits(tolerance.worst)}` };
    }
    case "psnr": {
      const psnr = psnrOf(got, want);
      if (psnr >= tolerance.least) return { ...result, psnr };
      return { ...result, psnr, problem: `PSNR ${psnr.toFixed(1)} dB < ${tolerance.least} dB` };
    }
    case "levels": {
      const far = countWhere(got, want, (a, b) => Math.abs(Number(a) - Number(b)) > 1);
      const share = countWhere(got, want, (a, b) => a !== b) / want.length;
      if (far === 0 && share < tolerance.share) return { name, tolerance };
      const percent = (100 * share).toFixed(2);
      return {
        name,
        tolerance,
        problem: `${far} values more than 1 level apart, ${percent} % differ`,
      };
    }
    default:
      throw new Error(`internal: ${tolerance.kind} has nothing to measure`);
  }
}

const within = (result: TensorComparison & { distance: number }, most: number): TensorComparison =>
  result.distance <= most
    ? result
    : { ...result, problem: `${twoDigits(result.distance)} > ${twoDigits(most)}` };

const largest = (numbers: Float64Array) => numbers.reduce((most, x) => Math.max(x, most), 0);
const relativeTo = (difference: number, expected: number) => (difference === 0 ? 0 : difference / expected);

/** Of every number; `measure` takes the difference's and the golden number's magnitude. */
function differences(
  got: TensorData["data"],
  want: TensorData["data"],
  measure: (difference: number, expected: number) => number = (difference) => difference,
): Float64Array {
  return Float64Array.from({ length: want.length }, (_, i) =>
    measure(Math.abs(Number(got[i]) - Number(want[i])), Math.abs(Number(want[i]))),
  );
}

function lengthOfDifference(got: TensorData["data"], want: TensorData["data"]): number {
  const length = (numbers: Float64Array) => Math.sqrt(numbers.reduce((sum, x) => sum + x * x, 0));
  return relativeTo(length(differences(got, want)), length(differences(want, new Float64Array(want.length))));
}

/** A magnitude of 0 allows no difference. */
function relativeDifference(got: TensorData["data"], want: TensorData["data"]): number {
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

function psnrOf(got: TensorData["data"], want: TensorData["data"]): number {
  let sum = 0;
  for (let i = 0; i < want.length; i++) sum += (Number(got[i]) - Number(want[i])) ** 2;
  return sum === 0 ? Number.POSITIVE_INFINITY : -10 * Math.log10(sum / want.length);
}

function countWhere(
  got: TensorData["data"],
  want: TensorData["data"],
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

function everyFinite(data: TensorData["data"]): boolean {
  for (let i = 0; i < data.length; i++)
    if (typeof data[i] === "number" && !Number.isFinite(data[i])) return false;
  return true;
}

const describe = (got: TensorData | string) => (typeof got === "string" ? got : `${got.data.length} numbers`);

/** [n, ...] -> n tensors called `name[i]` */
export function splitFirstAxis(name: string, { data, shape }: TensorData): [string, TensorData][] {
  const [n = 0, ...rest] = shape;
  const size = rest.reduce((a, b) => a * b, 1);
  const piece = (i: number) => (data as Float32Array).slice(i * size, (i + 1) * size);
  return Array.from({ length: n }, (_, i) => [`${name}[${i}]`, tensorData(piece(i), ...rest)]);
}

/** Two digits: "3.7e-6" */
export const twoDigits = (x: number): string => (x === 0 ? "0" : x.toExponential(1).replace(/\.0e/, "e"));
