/** @file Estimates the time left of a run by how long earlier steps took. */

/** Seconds per step by kind of work, such as a model at a size. */
export class StepTimer {
  readonly #known = new Map<string, number>();

  /** Starts timing a run of `kind`. */
  begin(kind: string, now: () => number = () => performance.now()): StepTiming {
    let [last, mean] = [now(), this.#known.get(kind)];
    let steps = 0;
    return {
      step: () => {
        const took = (now() - last) / 1000;
        last = now();
        steps++;
        // The first step of a run also loads what was not loaded.
        if (steps === 1 && mean === undefined) return;
        mean = mean === undefined || steps === 2 ? took : 0.8 * mean + 0.2 * took;
        this.#known.set(kind, mean);
      },
      left: (count) => (mean === undefined ? null : Math.round(mean * count * 10) / 10),
    };
  }
}

export type StepTiming = {
  /** A step was done. */
  step(): void;
  /** Seconds for `count` more. */
  left(count: number): number | null;
};
