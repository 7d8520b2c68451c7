/**
 * @file The optimizer's arithmetic on large arrays of float32, by WebAssembly's vector instructions (`vectors.wat`): four
 * numbers at a time in single precision, as PyTorch computes it, so that only memory limits it. V8 computes a loop in
 * JavaScript one number at a time in double precision, and waits for its division and its square root.
 *
 * Every operation is the same in each bit wherever its arrays lie. Arrays of `vectors` are computed in place; others,
 * such as those that threads share, are copied to the module's memory and back, piece by piece in the processor's cache.
 */

import { vectorsBinary } from "./binary.js";

/** Node's types have no WebAssembly. */
declare const WebAssembly: {
  Module: new (bytes: Uint8Array) => object;
  Instance: new (module: object, imports: object) => { exports: unknown };
  Memory: new (options: { initial: number }) => { readonly buffer: ArrayBuffer };
};

/** The functions of `vectors.wat`; arrays are given by where they begin, all lengths in bytes. */
type Kernels = {
  adamw(...arraysLengthAndScalars: number[]): void;
  scaledSum(into: number, a: number, b: number, length: number, factor: number): void;
  approach(a: number, b: number, length: number, rate: number): void;
  sumOfSquares(x: number, length: number): number;
};

/** An instance of the module: a memory with room for pieces of four arrays, and behind it arrays of `vectors`. */
type Home = { kernels: Kernels; memory: ArrayBuffer };

const pieceLength = 16384;
const page = 65536;
const most = 65536 * page;
/**
 * Where the piece of array `i` begins. Arrays begin near the start of a memory page; `rep movsb`, which copies a piece,
 * is five times as slow on some processors where both sides begin at the same place in a page.
 */
const pieceAt = (i: number) => i * (4 * pieceLength + 64) + 2048;
const firstVector = 5 * page;

const homes = new WeakMap<Float32Array, Home>();
let module: object | undefined;
let homeless: Home | undefined;

function makeHome(bytes: number): Home {
  module ??= new WebAssembly.Module(Buffer.from(vectorsBinary, "base64"));
  const memory = new WebAssembly.Memory({ initial: Math.ceil((firstVector + bytes) / page) });
  const { exports } = new WebAssembly.Instance(module, { vectors: { memory } });
  return { kernels: exports as Kernels, memory: memory.buffer };
}

/**
 * `count` arrays of `length` zeros, which the operations below find in place while all of them fit into the 4 GiB of a
 * module's memory. Untouched memory is not taken from the machine.
 */
export function vectors(count: number, length: number): Float32Array[] {
  const size = 64 * Math.ceil(length / 16);
  const all = Array.from({ length: count });
  if (firstVector + count * size > most) return all.map(() => new Float32Array(length));
  const home = makeHome(count * size);
  return all.map((_, i) => {
    const array = new Float32Array(home.memory, firstVector + i * size, length);
    homes.set(array, home);
    return array;
  });
}

type Operand = { array: Float32Array; read: boolean; written: boolean };
const read = (array: Float32Array): Operand => ({ array, read: true, written: false });
const written = (array: Float32Array): Operand => ({ array, read: false, written: true });
const updated = (array: Float32Array): Operand => ({ array, read: true, written: true });

/** Calls `operate` for each piece of the arrays, with where each array's piece begins and the length of it in bytes. */
function byPieces(
  operands: readonly Operand[],
  operate: (kernels: Kernels, at: readonly number[], length: number) => void,
): void {
  const home = operands.map(({ array }) => homes.get(array)).find((found) => found) ?? defaultHome();
  const total = operands[0]!.array.length;
  for (let start = 0; start < total; start += pieceLength) {
    const end = Math.min(total, start + pieceLength);
    const pieces = operands.map((operand, i) => placed(home, operand, i, start, end));
    operate(
      home.kernels,
      pieces.map(({ at }) => at),
      16 * Math.ceil((end - start) / 4),
    );
    for (const { keep } of pieces) keep?.();
  }
}

const defaultHome = (): Home => {
  homeless ??= makeHome(0);
  return homeless;
};

/** Where the piece lies in the module's memory; `keep` copies the result to where it belongs. */
function placed(
  home: Home,
  { array, read, written }: Operand,
  i: number,
  start: number,
  end: number,
): { at: number; keep?: () => void } {
  if (homes.get(array) === home) return { at: array.byteOffset + 4 * start };
  const at = pieceAt(i);
  const own = array.subarray(start, end);
  const copy = new Float32Array(home.memory, at, end - start);
  if (read) {
    copy.set(own);
    if (copy.length % 4) new Float32Array(home.memory, at + 4 * copy.length, 4 - (copy.length % 4)).fill(0);
  }
  return written ? { at, keep: () => own.set(copy) } : { at };
}

export type AdamWScalars = {
  /** Of the gradient. */
  scale: number;
  beta1: number;
  beta2: number;
  /** What share of the weights is taken from them. */
  decay: number;
  rate: number;
  /** Of the second moment's root. */
  correction: number;
  epsilon: number;
};

/** One update in place; see `vectors.wat`. All arrays have one length. */
export function adamw(
  { weights, mean, square }: Readonly<Record<"weights" | "mean" | "square", Float32Array>>,
  gradient: Float32Array,
  { scale, beta1, beta2, decay, rate, correction, epsilon }: AdamWScalars,
): void {
  const arrays = [updated(weights), updated(mean), updated(square), read(gradient)];
  const scalars = [scale, 1 - beta1, beta2, 1 - beta2, decay, rate, correction, epsilon];
  byPieces(arrays, ({ adamw }, at, length) => adamw(...at, length, ...scalars));
}

/** into = (a + b) factor; `into` may be `a` or `b`. */
export function scaledSum(into: Float32Array, a: Float32Array, b: Float32Array, factor: number): void {
  byPieces([written(into), read(a), read(b)], ({ scaledSum }, at, length) =>
    scaledSum(...(at as [number, number, number]), length, factor),
  );
}

/** a += (b - a) rate */
export function approach(a: Float32Array, b: Float32Array, rate: number): void {
  byPieces([updated(a), read(b)], ({ approach }, at, length) =>
    approach(...(at as [number, number]), length, rate),
  );
}

/** In double precision. */
export function sumOfSquares(x: Float32Array): number {
  let sum = 0;
  byPieces([read(x)], ({ sumOfSquares }, at, length) => {
    sum += sumOfSquares(at[0]!, length);
  });
  return sum;
}
