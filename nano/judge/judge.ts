/** @file A trained judge answers: which noun, style and background it sees in pictures, and how often that is right. */

import sharp from "sharp";
import { floatsOf, type Values } from "../../src/engine/engine.js";
import { lower } from "../../src/engine/lower.js";
import type { BlockingEngine, BlockingSession } from "../../src/engine/ort.js";
import { fromPicture, type Picture } from "../../src/image/pixels.js";
import { Params, tracing } from "../../src/tensor/params.js";
import { input, type Tensor } from "../../src/tensor/tensor.js";
import { openSafetensors } from "../../src/weights/safetensors-file.js";
import { type Classes, judge, judgedSize, type Question } from "./network.js";
import { backgroundNames, plain, type Rendering } from "./samples.js";

export type Answers = Record<Question, number>;

type Weights = Readonly<Record<string, Values>>;

const batchSize = 32;

export class Judge {
  readonly #session: BlockingSession;
  readonly #weights: Weights;
  /** Of the nouns that it can tell apart, those that it is asked about. */
  readonly among: readonly number[];

  private constructor(session: BlockingSession, weights: Weights, among: readonly number[]) {
    this.#session = session;
    this.#weights = weights;
    this.among = among;
  }

  static async open(
    engine: BlockingEngine,
    file: string,
    classes: Classes,
    among: readonly number[],
  ): Promise<Judge> {
    const params = new Map<string, Tensor>();
    const picture = input("picture", [batchSize, 3, judgedSize, judgedSize]);
    const outputs = judge(new Params(tracing(params)), classes, picture);
    const weights = await openSafetensors(file);
    const read = [...params].map(async ([name, { shape }]) => [
      name,
      { data: await weights.readFloats(name), shape },
    ]);
    const session = await engine.load(lower("judge", outputs));
    return new Judge(session, Object.fromEntries(await Promise.all(read)), among);
  }

  /** pictures: [3, 64, 64] in -1..1 each. A noun is answered by its place in `among`. */
  async answers(pictures: readonly Float32Array[]): Promise<Answers[]> {
    const area = 3 * judgedSize ** 2;
    const all: Answers[] = [];
    for (let from = 0; from < pictures.length; from += batchSize) {
      const some = pictures.slice(from, from + batchSize);
      const data = new Float32Array(batchSize * area);
      for (const [i, picture] of some.entries()) data.set(picture, i * area);
      const shape = [batchSize, 3, judgedSize, judgedSize];
      const results = await this.#session.run({ ...this.#weights, picture: { data, shape } });
      for (const i of some.keys()) {
        const answer = (q: Question) => {
          const row = rowOf(floatsOf(results[q]), i);
          return largest(q === "noun" ? this.among.map((noun) => row[noun]!) : [...row]);
        };
        all.push({ noun: answer("noun"), style: answer("style"), background: answer("background") });
      }
    }
    return all;
  }
}

const rowOf = (rows: Float32Array, i: number) =>
  rows.subarray((i * rows.length) / batchSize, ((i + 1) * rows.length) / batchSize);

const largest = (row: readonly number[]) => row.indexOf(Math.max(...row));

/** A picture of any size as the judge sees it. */
export async function shrunk({ data, width, height }: Picture): Promise<Float32Array> {
  const raw = { width, height, channels: 3 } as const;
  const small = sharp(data, { raw }).resize(judgedSize, judgedSize, { kernel: "cubic" }).removeAlpha();
  return fromPicture({ data: await small.raw().toBuffer(), width: judgedSize, height: judgedSize });
}

/** The share of right answers to each question. */
export function accuracy(given: readonly Answers[], right: readonly Answers[]): Record<Question, number> {
  const share = (q: Question) =>
    given.filter((answer, i) => answer[q] === right[i]![q]).length / given.length;
  return { noun: share("noun"), style: share("style"), background: share("background") };
}

/** How the judge does on renderings that it was not trained on, of the nouns it is asked about, on every background. */
export async function heldOutAccuracy(
  judge: Judge,
  renderings: readonly Rendering[],
): Promise<Record<Question, number>> {
  const shown = renderings
    .filter((r) => r.held && judge.among.includes(r.noun))
    .flatMap((r) => backgroundNames.map((name, background) => ({ r, name, background })));
  const given = await judge.answers(shown.map(({ r, name }) => plain(r, name)));
  return accuracy(
    given,
    shown.map(({ r, background }) => ({ noun: judge.among.indexOf(r.noun), style: r.style, background })),
  );
}
