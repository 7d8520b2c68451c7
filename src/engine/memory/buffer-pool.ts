/**
 * @file A simulation of the buffers of ONNX Runtime's WebGPU provider: which sizes they have, and which are kept after
 * their use. Allocates nothing.
 *
 * The rules are those of `core/providers/webgpu/buffer_manager.cc`: sizes are rounded up to that of a bucket, and a
 * buffer that is released is kept for the next of its size, up to the bucket's limit. That it is kept only once the
 * commands that use it were submitted is left out: measured on lavapipe, buffers were reused as if at once.
 */

/** Sizes of buckets in bytes, and how many buffers of each are kept. */
const buckets = new Map(
  [
    [64, 250, 128, 200, 256, 200, 512, 200, 2048, 230, 4096, 200, 8192, 50, 16384, 50, 32768, 50, 65536, 50],
    [131072, 50, 262144, 50, 524288, 50, 1048576, 50, 2097152, 30, 4194304, 20, 8388608, 10, 12582912, 10],
    [16777216, 10, 26214400, 15, 33554432, 22, 44236800, 2, 58982400, 6, 67108864, 6, 134217728, 6],
    [167772160, 6],
  ].flatMap((row) => row.flatMap((size, i) => (i % 2 === 0 ? [[size, row[i + 1]!] as const] : []))),
);

export class BufferPool {
  /** How many are kept for the next of their size. */
  readonly #kept = new Map<number, number>();
  #held = 0;
  #peak = 0;

  /** Takes a buffer and returns its size, by which it is released. */
  take(bytes: number): number {
    const size = [...buckets.keys()].find((bucket) => bucket >= bytes) ?? Math.ceil(bytes / 16) * 16;
    const kept = this.#kept.get(size) ?? 0;
    if (kept > 0) this.#kept.set(size, kept - 1);
    else this.#held += size;
    this.#peak = Math.max(this.#peak, this.#held);
    return size;
  }

  release(size: number): void {
    const kept = this.#kept.get(size) ?? 0;
    if (kept < (buckets.get(size) ?? 0)) this.#kept.set(size, kept + 1);
    else this.#held -= size;
  }

  /** The most bytes that were held at once, used and kept. */
  get peak(): number {
    return this.#peak;
  }
}
