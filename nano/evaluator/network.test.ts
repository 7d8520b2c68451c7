/** @file The evaluator's loss against its closed form. */

import { describe, expect, it } from "vitest";
import { Generator } from "../../src/diffusion/random.js";
import { blockingEngine } from "../../src/engine/ort/blocking-engine.js";
import { layoutOf, wholeProgram } from "../../src/train/gradient-program.js";
import { randomWeight } from "../../src/train/random-weights.js";
import { classesOf, labels, targetValues } from "../labels.js";
import { evaluatedSize, evaluatorLoss } from "./network.js";

const nouns = ["cat", "dog", "car", "cup", "ant"].map((name) => ({ name, code: name, aliases: [] }));
const classes = classesOf({ nouns });

describe("an evaluator without training", () => {
  it("has the loss of a uniform guess among all classes, and its gradient", async () => {
    const loss = evaluatorLoss(nouns, 2);
    const layout = layoutOf(loss);
    const shapes = new Map([...loss.params].map(([name, { shape }]) => [name, shape]));
    const generator = new Generator(1);
    const weights = new Float32Array(layout.total);
    for (const name of shapes.keys())
      if (!labels.some((q) => name.startsWith(q)))
        layout.view(weights, name).set(randomWeight(name, shapes, generator));
    const program = await wholeProgram(blockingEngine({ threads: 1 }), loss, layout);
    const image = {
      data: generator.normal(2 * 3 * evaluatedSize ** 2),
      shape: [2, 3, evaluatedSize, evaluatedSize],
    };
    const gradient = new Float32Array(layout.total);
    // The first of the two images is the first of everything, the second the last.
    const right = [
      { noun: 0, style: 0, background: 0 },
      { noun: 4, style: 8, background: 9 },
    ];
    const inputs = { image, ...targetValues(right, classes) };
    const terms = await program.run(weights, inputs, gradient);
    for (const q of labels) expect(terms[q]![0]).toBeCloseTo(Math.log(classes[q]), 4);
    // The bias of an answer rises by how much too little it was expected: 1/2 right of two, expected 1/5.
    expect([...layout.view(gradient, "noun.bias")].map((g) => Number(g.toFixed(4)))).toEqual([
      -0.3, 0.2, 0.2, 0.2, -0.3,
    ]);
    await program.release();
  });
});
