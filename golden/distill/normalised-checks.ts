/** @file normalised-W.*: the feature loss as the paper's sum, and with every layer divided by its teacher's mean square. */

import { z } from "zod";
import { type FeatureLoss, featureLosses } from "../../src/train/loss.js";
import { meanSquares } from "../../src/train/mean-squares.js";
import { teacherMeanSquare } from "../../src/train/step.js";
import {
  type Check,
  type Computed,
  type Expectation,
  type Expectations,
  orFailingCheck,
  type TensorData,
  uncovered,
} from "../conformance/check.js";
import { type DistillFolder, json, lazyByKey, scalarData, studentIds, tensorsOf } from "./folder.js";
import { pairName } from "./forward.js";
import { computedGradient, expectedGradient, gradientSchema } from "./step-gradients.js";
import { goldenBatch, runStep, type StepNetworks, stepNetworks } from "./step-networks.js";
import * as near from "./tolerances.js";

const number = z.looseObject({ value: z.number() });
const schema = z.looseObject({
  student: z.string(),
  teacher: z.string(),
  features: z.literal("koala"),
  timesteps: z.array(z.int()),
  pairs: z.array(
    z.looseObject({
      student: z.string(),
      teacher: z.string(),
      mse: number,
      teacher_mean_square: number,
      ratio: z.number(),
    }),
  ),
  losses: z.record(z.string(), gradientSchema),
});
type NormalisedJson = z.infer<typeof schema>;

export async function normalisedChecks(set: DistillFolder): Promise<Check[]> {
  const rows: Check[] = [];
  for (const id of studentIds(set, "normalised"))
    rows.push(...(await orFailingCheck(`normalised-${id}`, () => checksOf(set, id))));
  return rows;
}

const offered = (loss: string): FeatureLoss | undefined => featureLosses.find((name) => name === loss);

async function checksOf(set: DistillFolder, id: string): Promise<Check[]> {
  const owner = `normalised-${id}.json`;
  const golden = schema.parse(await json(set, owner));
  const file = await tensorsOf(set, `normalised-${id}.safetensors`, { owner });
  const networks = stepNetworks(set, golden);
  const run = lazyByKey((loss) => lossOf(set, owner, golden, networks, offered(loss)!));
  const pairs: Check = {
    name: `normalised-${id}/pairs`,
    compute: async () => pairTerms(await run("plain"), await run("ratio_of_squares"), networks),
    expected: async () => expectedPairs(golden),
  };
  const gradients = Object.entries(golden.losses).map(([loss, expected]): Check => {
    const name = `normalised-${id}/gradients-${loss}`;
    if (!offered(loss)) return uncovered(name, "a reading of the formula that the trainer does not offer");
    const stored = { file, prefix: `few/${loss}/` };
    return {
      name,
      compute: async () =>
        computedGradient((await networks.student()).layout, await run(loss), expected, stored),
      expected: () => expectedGradient(expected, stored, near.stepGradient(loss)),
    };
  });
  return [pairs, ...gradients];
}

type LossRun = { loss: number; gradient: Float32Array; pairs: Float32Array; squares: readonly number[] };

async function lossOf(
  set: DistillFolder,
  owner: string,
  golden: NormalisedJson,
  networks: StepNetworks,
  featureLoss: FeatureLoss,
): Promise<LossRun> {
  const inputs = await tensorsOf(set, "normalised-inputs.safetensors", { owner, isInput: () => true });
  const [noise, student, teacher] = [
    await networks.noise(),
    await networks.student(),
    await networks.teacher(),
  ];
  const batch = await goldenBatch(
    inputs,
    "",
    noise,
    golden.timesteps.map((t) => [t]),
  );
  const results = await teacher(batch.inputs);
  const squares = meanSquares(
    results,
    student.pairs.map((pair) => pair.teacher),
  );
  const step = await student.step(batch.size, { weights: { task: 0, out: 0, feat: 1 }, featureLoss });
  const given = { ...batch.inputs, ...results, ...squares };
  const { terms, gradient } = await runStep(student, step, student.initial, given);
  const squareOf = (path: string) => (squares[teacherMeanSquare(path)]!.data as Float32Array)[0]!;
  return {
    loss: terms.total![0]!,
    gradient,
    pairs: terms.pairs!,
    squares: student.pairs.map((pair) => squareOf(pair.teacher)),
  };
}

async function pairTerms(plain: LossRun, ratios: LossRun, networks: StepNetworks): Promise<Computed> {
  const { pairs } = await networks.student();
  return new Map(
    pairs.flatMap((pair, i): [string, TensorData][] => [
      [`${pairName(pair)}: mse`, scalarData(plain.pairs[i]!)],
      [`${pairName(pair)}: mean square`, scalarData(ratios.squares[i]!)],
      [`${pairName(pair)}: ratio`, scalarData(ratios.pairs[i]!)],
    ]),
  );
}

const expectedPairs = ({ pairs }: NormalisedJson): Expectations =>
  new Map(
    pairs.flatMap((pair): [string, Expectation][] => [
      [`${pairName(pair)}: mse`, near.lossExpectation(pair.mse.value)],
      [`${pairName(pair)}: mean square`, near.lossExpectation(pair.teacher_mean_square.value)],
      [`${pairName(pair)}: ratio`, near.lossExpectation(pair.ratio)],
    ]),
  );
