/**
 * @file The evaluation of a model: the evaluator's accuracy on images of every pair of noun and style, with seeds and, as
 * a group of their own, pairs that were never trained on.
 */

import { accuracy, type Evaluator, type Labelled } from "../src/evaluate/evaluator.js";
import { below, seeded } from "../src/train/data/seeded.js";
import { backgroundNames, worded } from "./data/captions.js";
import type { Data } from "./data/dataset.js";
import { styles } from "./data/emoji.js";
import { pairOf } from "./data/nouns.js";
import { openModel, type Sampling } from "./images.js";
import type { Label } from "./labels.js";

type Score = Record<Label, number> & { images: number };
export type Evaluation = { sampling: Sampling; trained: Score; heldOut: Score; secondsPerImage: number };

const batch = 9;

export async function evaluate(
  folder: string,
  evaluator: Evaluator,
  data: Data,
  given: Partial<Sampling> = {},
): Promise<Evaluation> {
  const { generate, sampling, close } = await openModel(folder, given);
  const prompts = promptsOf(data);
  const predicted: Labelled[] = [];
  const started = performance.now();
  for (let from = 0; from < prompts.length; from += batch) {
    const images = await generate(
      prompts.slice(from, from + batch).map(({ prompt }) => prompt),
      1_000_000 + from,
    );
    predicted.push(...(await evaluator.predict(images)));
  }
  const seconds = (performance.now() - started) / 1000;
  await close();
  const scored = (held: boolean): Score => {
    const chosen = [...prompts.keys()].filter((i) => prompts[i]!.held === held);
    const targets = chosen.map((i) => evaluator.targetOf(prompts[i]!.prompt));
    const found = chosen.map((i) => predicted[i]!);
    return { ...(accuracy(found, targets) as Record<Label, number>), images: chosen.length };
  };
  return {
    sampling,
    trained: scored(false),
    heldOut: scored(true),
    secondsPerImage: seconds / prompts.length,
  };
}

/** One prompt for each pair, half of them on white. */
function promptsOf({ nouns, held }: Data) {
  const pairs = nouns.flatMap((noun) => styles.map((style) => ({ noun, style })));
  return pairs.map(({ noun, style }) => {
    const draw = seeded(0, "evaluate", pairOf(noun.name, style));
    const background = draw() < 0.5 ? 0 : below(backgroundNames.length, draw);
    const behind = background === 0 ? "" : `, on a ${backgroundNames[background]} background`;
    return {
      prompt: `${worded(noun.name, style)}${behind}`,
      held: held.has(pairOf(noun.name, style)),
    };
  });
}
