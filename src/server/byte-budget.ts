/** @file A budget of bytes that requests share: one that finds too few left waits in a queue for a time. */

/** A part of the budget, until it is released. */
export type Share = { release(): void };

type Waiting = { bytes: number; take: (share: Share | undefined) => void };

export class ByteBudget {
  readonly #patienceMs: number;
  #left: number;
  #waiting: Waiting[] = [];

  /** `take` waits no longer than `patienceMs`. */
  constructor(bytes: number, patienceMs: number) {
    this.#left = bytes;
    this.#patienceMs = patienceMs;
  }

  get left(): number {
    return this.#left;
  }

  /** First come, first served; nothing if none came free in time, or the signal fired. */
  async take(bytes: number, signal: AbortSignal): Promise<Share | undefined> {
    if (this.#waiting.length === 0 && bytes <= this.#left) return this.#share(bytes);
    return new Promise((resolve) => {
      const waiting: Waiting = {
        bytes,
        take: (share) => {
          clearTimeout(timer);
          signal.removeEventListener("abort", giveUp);
          resolve(share);
        },
      };
      const giveUp = () => {
        this.#waiting = this.#waiting.filter((other) => other !== waiting);
        waiting.take(undefined);
        this.#serve();
      };
      const timer = setTimeout(giveUp, this.#patienceMs);
      signal.addEventListener("abort", giveUp, { once: true });
      this.#waiting.push(waiting);
    });
  }

  #share(bytes: number): Share {
    this.#left -= bytes;
    let held = bytes;
    return {
      release: () => {
        this.#left += held;
        held = 0;
        this.#serve();
      },
    };
  }

  #serve(): void {
    while (this.#waiting.length > 0 && this.#waiting[0]!.bytes <= this.#left) {
      const { bytes, take } = this.#waiting.shift()!;
      take(this.#share(bytes));
    }
  }
}
