/** @file What is asked of an image or a caption: which noun, which style, which background; and the loss of answers. */

import type { Values } from "../src/engine/engine.js";
import { add, input, log, mul, reshape, sum } from "../src/tensor/operations.js";
import type { Tensor } from "../src/tensor/tensor.js";
import { backgroundNames } from "./data/captions.js";
import type { Data } from "./data/dataset.js";
import { styles } from "./data/emoji.js";

export const questions = ["noun", "style", "background"] as const;
export type Question = (typeof questions)[number];
/** How many there are to choose from. */
export type Classes = Record<Question, number>;
/** The number of the answer to each question. */
export type Answers = Record<Question, number>;

export const classesOf = ({ nouns }: Data): Classes => ({
  noun: nouns.length,
  style: styles.length,
  background: backgroundNames.length,
});

const rightAnswer = (question: Question): string => `right_${question}`;

/** What is right, as inputs of 0 and 1: [B, n] each. */
export const rightInputs = (classes: Classes, batch: number): Record<Question, Tensor> =>
  perQuestion((q) => input(rightAnswer(q), [batch, classes[q]]));

/** The cross-entropy of `given`, the probabilities of all answers: [B, n] -> [1] */
export function surprise(right: Tensor, given: Tensor): Tensor {
  // Probabilities below 1e-7 are as good as 0, whose logarithm is none.
  return reshape(mul(sum(mul(right, log(add(given, 1e-7)))), -1 / given.shape[0]!), [1]);
}

const perQuestion = <T>(of: (question: Question) => T): Record<Question, T> => ({
  noun: of("noun"),
  style: of("style"),
  background: of("background"),
});

/** The values of `rightInputs`. */
export function rightAnswers(answers: readonly Answers[], classes: Classes): Record<string, Values> {
  return Object.fromEntries(
    questions.map((question) => {
      const data = new Float32Array(answers.length * classes[question]);
      for (const [i, answer] of answers.entries()) data[i * classes[question] + answer[question]] = 1;
      return [rightAnswer(question), { data, shape: [answers.length, classes[question]] }];
    }),
  );
}
