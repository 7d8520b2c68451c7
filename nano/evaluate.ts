/**
 * @file What the judge makes of a model's images: every pair of noun and style, from seeds that no training saw, the
 * pairs that training never saw apart from the others.
 */

import { below, seeded } from "../src/train/data/seeded.js";
import { backgroundNames, worded } from "./data/captions.js";
import type { Data } from "./data/dataset.js";
import { styles } from "./data/emoji.js";
import { pairOf } from "./data/nouns.js";
import { accuracy, type Evaluator, shrunk } from "./evaluator/evaluator.js";
import { lookOf } from "./evaluator/samples.js";
import { opened, type Sampling } from "./images.js";
import type { Answers, Question } from "./labels.js";

export type Score = Record<Question, number> & { images: number };
export type Evaluation = { sampling: Sampling; trained: Score; heldOut: Score; secondsPerImage: number };

const batch = 9;

export async function evaluate(
  folder: string,
  evaluator: Evaluator,
  data: Data,
  given: Partial<Sampling> = {},
): Promise<Evaluation> {
  const { generate, sampling, close } = await opened(folder, given);
  const asked = prompts(data, evaluator);
  const answers: Answers[] = [];
  const started = performance.now();
  for (let from = 0; from < asked.length; from += batch) {
    const images = await generate(
      asked.slice(from, from + batch).map(({ prompt }) => prompt),
      1_000_000 + from,
    );
    answers.push(...(await evaluator.answers(await Promise.all(images.map(shrunk)))));
  }
  const seconds = (performance.now() - started) / 1000;
  await close();
  const scored = (held: boolean): Score => {
    const at = [...asked.keys()].filter((i) => asked[i]!.held === held);
    const right = at.map((i) => asked[i]!.right);
    return {
      ...accuracy(
        at.map((i) => answers[i]!),
        right,
      ),
      images: at.length,
    };
  };
  return {
    sampling,
    trained: scored(false),
    heldOut: scored(true),
    secondsPerImage: seconds / asked.length,
  };
}

/** One prompt for each pair, half of them on white. */
function prompts({ nouns, held }: Data, evaluator: Evaluator) {
  const pairs = nouns.flatMap((noun) => {
    const n = evaluator.nouns.indexOf(noun.name);
    return styles.map((style, s) => ({ noun, n, style, s }));
  });
  return pairs.map(({ noun, n, style, s }) => {
    const draw = seeded(0, "evaluate", pairOf(noun.name, style));
    const background = draw() < 0.5 ? 0 : below(backgroundNames.length, draw);
    const behind = background === 0 ? "" : `, on a ${backgroundNames[background]} background`;
    return {
      prompt: `${worded(noun.name, style)}${behind}`,
      right: { noun: n, style: lookOf(s), background },
      held: held.has(pairOf(noun.name, style)),
    };
  });
}
