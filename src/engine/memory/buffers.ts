/**
 * @file Which buffers a program's results take, predicted from its graph by ONNX Runtime's rules
 * (`core/framework/allocation_planner.cc`): a buffer lives from its operation to its last use; a reshape is the same
 * buffer; an elementwise operation writes over an input that no other operation reads; where sizes are fixed, a dead
 * buffer is kept if a later result has its shape.
 */

import { type OpsOfKind, operationKind, readInputs } from "../../tensor/kinds.js";
import { count, type DType, type Op, sameShape, type Tensor } from "../../tensor/tensor.js";

/** `first` and `last`: the steps between which it is held; `uses`: operations that have yet to read it. */
export type Buffer = {
  size: number;
  shape: string;
  first: number;
  last: number;
  uses: number;
  leaf: boolean;
};

/**
 * The buffer of each result, step by step: its input's, a dead one that was made for the same shape, or a new one. A dead
 * one that is taken again has not been freed in between, which is why training holds more than is alive.
 */
export function planBuffers(
  steps: readonly Tensor[],
  roots: readonly Tensor[],
  {
    outside,
    fixed,
    inPlace = true,
  }: {
    outside: ReadonlySet<Tensor>;
    fixed: boolean;
    /** Whether elementwise operations may write over an input, which no kernel of a GPU does. */
    inPlace?: boolean;
  },
): Buffer[] {
  const uses = new Map<Tensor, number>();
  for (const x of steps) for (const y of readInputs(x)) uses.set(y, (uses.get(y) ?? 0) + 1);
  const results = new Set(roots);
  const at = new Map<Tensor, Buffer>();
  const all: Buffer[] = [];
  const dead = new Map<string, Buffer[]>();
  const release = (buffer: Buffer, i: number) => {
    buffer.last = Math.max(buffer.last, i);
    if (buffer.uses > 0 || buffer.leaf) return;
    const others = dead.get(buffer.shape);
    if (others) others.push(buffer);
    else dead.set(buffer.shape, [buffer]);
  };
  for (const [i, x] of steps.entries()) {
    const leaf = x.inputs.length === 0 || outside.has(x);
    const result = results.has(x) && !leaf;
    const shape = `${x.dtype}[${x.shape.join()}]`;
    const own = leaf || result;
    const input = own
      ? undefined
      : operationKind(x).computes === "view"
        ? x.inputs[0]
        : inPlace
          ? overwritten(x, at)
          : undefined;
    const taken = input ? at.get(input) : own || x.rank === 0 || !fixed ? undefined : dead.get(shape)?.pop();
    const fresh = { size: leaf ? 0 : bytes(x), shape, first: i, last: i, uses: 0, leaf: own };
    const buffer = taken ?? fresh;
    if (!taken) all.push(buffer);
    buffer.uses += uses.get(x) ?? 0;
    at.set(x, buffer);
    if (result) buffer.last = steps.length - 1;
    for (const y of readInputs(x)) {
      const read = at.get(y)!;
      read.uses--;
      if (read.uses === 0 && read !== buffer) release(read, i);
      else read.last = Math.max(read.last, i);
    }
    if (buffer.uses === 0) release(buffer, i);
  }
  return all;
}

const elementBytes: Readonly<Record<DType, number>> = { float32: 4, float16: 2, uint8: 1, int8: 1, int64: 8 };
export const bytes = (x: Tensor): number => elementBytes[x.dtype] * count(x.shape);

/** Whether ONNX Runtime's operator may write its result over an input. */
const overwrites: Readonly<Record<OpsOfKind<{ computes: "elementwise" }>, boolean>> = {
  add: true,
  sub: true,
  mul: true,
  div: true,
  neg: true,
  exp: true,
  log: true,
  sqrt: true,
  sin: false,
  cos: false,
  tanh: true,
  erf: true,
  sigmoid: true,
  relu: true,
  step: false,
  silu: false,
  gelu: false,
  quickGelu: false,
};

/** The input whose buffer the result may take: of the same shape, computed by this program, and read by no other operation. */
function overwritten(x: Tensor, at: ReadonlyMap<Tensor, Buffer>): Tensor | undefined {
  if (!(overwrites as Partial<Record<Op, boolean>>)[x.op]) return undefined;
  const free = (y: Tensor) => at.get(y)!.uses === 1 && !at.get(y)!.leaf;
  return x.inputs.find((y) => free(y) && sameShape(x.shape, y.shape));
}

/** What memory is taken from and given back to; `Taken` is what stands for a piece of it. */
type Allocator<Taken> = { take(bytes: number): Taken; release(taken: Taken): void };

/** Takes and gives back the buffers of a run in its order; `temporaries`: bytes that an operation takes while it runs. */
export function replayBuffers<Taken>(
  steps: readonly Tensor[],
  buffers: readonly Buffer[],
  allocator: Allocator<Taken>,
  temporaries: (x: Tensor) => readonly number[],
): void {
  const at = (end: "first" | "last") => {
    const lists = steps.map((): Buffer[] => []);
    for (const buffer of buffers) if (buffer.size > 0) lists[buffer[end]]!.push(buffer);
    return lists;
  };
  const [starting, ending] = [at("first"), at("last")];
  const taken = new Map<Buffer, Taken>();
  for (const [i, x] of steps.entries()) {
    for (const buffer of starting[i]!) taken.set(buffer, allocator.take(buffer.size));
    for (const piece of temporaries(x).map((size) => allocator.take(size))) allocator.release(piece);
    for (const buffer of ending[i]!) allocator.release(taken.get(buffer)!);
  }
}
