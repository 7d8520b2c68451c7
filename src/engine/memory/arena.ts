/**
 * @file A simulation of ONNX Runtime's memory arena: which addresses a sequence of allocations touches. Allocates
 * nothing.
 *
 * The rules are those of `core/framework/bfc_arena.cc` with its defaults: the smallest free chunk that is large enough,
 * split if half of it or 128 MB would be left over; regions whose size doubles up to 1 GB; adjacent free chunks are
 * merged.
 */

const unit = 256;
const MiB = 2 ** 20;
const mostUnused = 128 * MiB;
const largestRegion = 1024 * MiB;

/** A part of a region, linked to the chunks before and after it. */
export type Chunk = {
  region: number;
  start: number;
  size: number;
  free: boolean;
  before: Chunk | undefined;
  after: Chunk | undefined;
};

export class Arena {
  #nextRegion = MiB;
  #regions = 0;
  readonly #free = new Set<Chunk>();
  /** What was ever allocated, by region: [start, end]. */
  readonly #used = new Map<number, [number, number][]>();

  take(bytes: number): Chunk {
    const size = Math.max(unit, Math.ceil(bytes / unit) * unit);
    const chunk = this.#smallest(size) ?? this.#extend(size);
    this.#free.delete(chunk);
    chunk.free = false;
    if (chunk.size >= 2 * size || chunk.size - size >= mostUnused) this.#split(chunk, size);
    const used = this.#used.get(chunk.region)!;
    used.push([chunk.start, chunk.start + size]);
    return chunk;
  }

  release(chunk: Chunk): void {
    chunk.free = true;
    const joined = chunk.before?.free ? this.#join(chunk.before, chunk) : chunk;
    if (joined.after?.free) this.#join(joined, joined.after);
    this.#free.add(joined);
  }

  /** Bytes of all addresses that were ever allocated: what the operating system had to provide. */
  get touched(): number {
    return [...this.#used.values()].reduce((sum, spans) => sum + covered(spans), 0);
  }

  #smallest(size: number): Chunk | undefined {
    let best: Chunk | undefined;
    for (const chunk of this.#free) if (chunk.size >= size && (!best || before(chunk, best))) best = chunk;
    return best;
  }

  #extend(size: number): Chunk {
    const grown = size > this.#nextRegion;
    while (size > this.#nextRegion) this.#nextRegion *= 2;
    const region = this.#regions++;
    const chunk = {
      region,
      start: 0,
      size: this.#nextRegion,
      free: true,
      before: undefined,
      after: undefined,
    };
    if (!grown) this.#nextRegion = Math.min(2 * this.#nextRegion, largestRegion);
    this.#used.set(region, []);
    return chunk;
  }

  #split(chunk: Chunk, size: number): void {
    const { region, start, after } = chunk;
    const rest = { region, start: start + size, size: chunk.size - size, free: true, before: chunk, after };
    if (after) after.before = rest;
    chunk.size = size;
    chunk.after = rest;
    this.#free.add(rest);
  }

  #join(left: Chunk, right: Chunk): Chunk {
    this.#free.delete(left);
    this.#free.delete(right);
    left.size += right.size;
    left.after = right.after;
    if (right.after) right.after.before = left;
    return left;
  }
}

/** Smaller first; among equals the oldest region. */
const before = (a: Chunk, b: Chunk): boolean =>
  a.size !== b.size ? a.size < b.size : a.region !== b.region ? a.region < b.region : a.start < b.start;

/** The length of the union of spans. */
function covered(spans: readonly [number, number][]): number {
  let [total, reached] = [0, 0];
  for (const [start, end] of spans.toSorted((a, b) => a[0] - b[0])) {
    total += Math.max(0, end - Math.max(start, reached));
    reached = Math.max(reached, end);
  }
  return total;
}
