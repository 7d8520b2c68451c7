/** @file AdamW against the recurrence written out in float64. */

import { describe, expect, it } from "vitest";
import { Generator } from "../diffusion/random.js";
import { AdamW } from "./optimizer.js";

const options = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 1e-2 };

describe("AdamW", () => {
  it("five updates with clipping, accumulation and a moving average follow the recurrence", async () => {
    const n = 600_003;
    const generator = new Generator(5);
    const optimizer = new AdamW(options);
    const weights = generator.normal(n);
    const state = {
      weights,
      mean: new Float32Array(n),
      square: new Float32Array(n),
      average: weights.slice(),
    };
    const at = [0, 1, 262_143, 262_144, 524_288, n - 1];
    const want = at.map((i) => ({ p: weights[i]!, m: 0, v: 0, a: weights[i]! }));

    for (let step = 1; step <= 5; step++) {
      const [one, two] = [generator.normal(n), generator.normal(n)];
      const sum = one.slice();
      optimizer.accumulate(sum, two);
      const learningRate = 1e-3 * step;
      const emaDecay = 0.5;
      const { norm } = optimizer.update(state, sum, {
        step,
        learningRate,
        accumulated: 2,
        maxNorm: 1,
        emaDecay,
      });
      const mean = one.map((g, i) => (g + two[i]!) / 2);
      const expected = Math.sqrt(mean.reduce((a, b) => a + b * b, 0));
      expect(Math.abs(norm / expected - 1)).toBeLessThan(1e-5);
      for (const [k, i] of at.entries()) {
        const w = want[k]!;
        const g = mean[i]! / (expected + 1e-6);
        w.p *= 1 - learningRate * options.weightDecay;
        w.m += (g - w.m) * 0.1;
        w.v = w.v * 0.999 + g * g * 0.001;
        w.p -=
          ((learningRate / (1 - 0.9 ** step)) * w.m) / (Math.sqrt(w.v) / Math.sqrt(1 - 0.999 ** step) + 1e-8);
        w.a -= 0.5 * (w.a - w.p);
        expect(Math.abs(state.weights[i]! - w.p)).toBeLessThan(2e-6);
        expect(Math.abs(state.average[i]! - w.a)).toBeLessThan(2e-6);
      }
    }
  });

  it("a learning rate of zero leaves every weight as it is, and moves the moments", async () => {
    const optimizer = new AdamW(options);
    const gradient = Float32Array.of(0, 1e-30, 1e-3, -1, 1e4);
    const n = gradient.length;
    const weights = Float32Array.of(0, 1e-30, -1e-3, 1, 1e4);
    const state = {
      weights: weights.slice(),
      mean: new Float32Array(n),
      square: new Float32Array(n),
      average: undefined,
    };
    const rates = { learningRate: 0, accumulated: 1, maxNorm: undefined, emaDecay: undefined };
    optimizer.update(state, gradient, { step: 1, ...rates });
    expect(state.weights).toEqual(weights);
    for (const i of [2, 3, 4]) expect(Math.abs(state.mean[i]! / (gradient[i]! * 0.1) - 1)).toBeLessThan(1e-6);
  });
});
