/** @file Losses and gradients of a step: of the total, of single terms, and of the variants of the task loss. */

import { floats, type Values } from "../../src/engine/engine.js";
import { add, input, mul } from "../../src/tensor/operations.js";
import type { Tensor } from "../../src/tensor/tensor.js";
import { checkpointedProgram } from "../../src/train/gradient-checkpointing.js";
import { wholeProgram } from "../../src/train/gradient-program.js";
import { stagePaths } from "../../src/train/layer-mapping.js";
import { minSnrWeights } from "../../src/train/noise.js";
import type { StepSize } from "../../src/train/step.js";
import { lazy, lazyByKey } from "./folder.js";
import { pairName } from "./forward.js";
import {
  type DistillationNetworks,
  programInputs,
  type Step,
  type Student,
  studentLoss,
  unitLossWeights,
} from "./networks.js";
import { featureSetNamed } from "./student-checks.js";

/** One run of a program; `parameters` holds all gradients in the student's layout. */
export type GradientRun = {
  readonly losses: Readonly<Record<string, number>>;
  readonly parameters: Float32Array;
};

/** The parts of the total loss that the golden data holds separately; `feat` is the last two. */
const lossParts = ["task", "out", "feat_sa", "feat_lf"] as const;
type LossPart = (typeof lossParts)[number];

const partsOfTerm: Readonly<Record<string, readonly LossPart[]>> = {
  task: ["task"],
  out: ["out"],
  feat: ["feat_sa", "feat_lf"],
  feat_sa: ["feat_sa"],
  feat_lf: ["feat_lf"],
};

/** The losses and gradients of one step, each computed once. */
export type GradientRuns = {
  /** The total with this feature set, by the trainer's program. */
  total(set: string): Promise<GradientRun>;
  /** A term alone: task, out, feat, feat_sa or feat_lf. */
  term(name: string): Promise<GradientRun>;
  /** The total of `v_prediction`, `min_snr_5`, `min_snr_5_v` and the like. */
  variant(name: string): Promise<GradientRun>;
  /** The total, in programs cut at the block borders. */
  checkpointed(): Promise<GradientRun>;
};

export function gradientRuns(student: Student, all: DistillationNetworks): GradientRuns {
  const size = lazy(async () => (await all.batch("step")).size);
  const run = async (step: Step, more: Readonly<Record<string, Values>> = {}, v = false) => {
    const { epsilon, v: velocity } = await all.schedules();
    const teacherResults = await all.teacherResults("step");
    const parameters = new Float32Array(student.layout.total);
    const schedule = v ? velocity : epsilon;
    const inputs = programInputs(step.inputNames, await all.batch("step"), teacherResults, {
      schedule,
      more,
    });
    const results = await step.program.run(student.weights(), inputs, parameters);
    const losses = Object.entries(results).map(([name, values]) => [name, values[0]!]);
    return { losses: Object.fromEntries(losses), parameters };
  };
  const byTerm = lazy(async () => factoredStep(student, all, await size()));
  const factored = async (chosen: readonly LossPart[], weights?: Float32Array, v = false) => {
    const { batch } = await size();
    const ones = new Float32Array(batch).fill(1);
    const factors = lossParts.map((part) => [
      `factor_${part}`,
      floats(Float32Array.of(chosen.includes(part) ? 1 : 0), 1),
    ]);
    const more = { ...Object.fromEntries(factors), task_weights: floats(weights ?? ones, batch) };
    return run(await byTerm(), more, v);
  };
  return {
    total: lazyByKey(async (set) => run(await student.step(featureSetNamed(set), await size()))),
    term: lazyByKey(async (name) => factored(partsOfTerm[name] ?? unknown(`term "${name}"`))),
    variant: lazyByKey(async (name) => {
      if (name === "v_prediction") return run(await student.step("koala", await size()), {}, true);
      const found = /^min_snr_([\d.]+)(_v)?(_older_script)?$/.exec(name) ?? unknown(`variant "${name}"`);
      const [, gamma, v, older] = found;
      const { epsilon, v: velocity } = await all.schedules();
      const { timesteps } = await all.batch("step");
      const options = { gamma: Number(gamma), rule: older ? "older" : "current" } as const;
      const weights = minSnrWeights(v ? velocity : epsilon, timesteps, options);
      return factored(lossParts, weights, v !== undefined);
    }),
    checkpointed: async () => run(await checkpointedStep(student, all, await size())),
  };
}

function unknown(what: string): never {
  throw new Error(`the conformance tool has no ${what}`);
}

/** The trainer's program of the weighted task loss, with a factor as an input for each part of the total. */
async function factoredStep(student: Student, all: DistillationNetworks, size: StepSize): Promise<Step> {
  const pairs = student.pairs("koala");
  const options = { weights: unitLossWeights, weightedTask: true };
  const { trace, loss, inputNames } = studentLoss(student.config, pairs, size, options);
  const attention = new Set(student.pairs("sa").map(pairName));
  const sum = (inSet: boolean) =>
    trace.losses.pairs
      .filter((_, i) => attention.has(pairName(pairs[i]!)) === inSet)
      .reduce((a, b) => add(a, b));
  const losses: Record<LossPart, Tensor> = {
    task: trace.losses.task!,
    out: trace.losses.out!,
    feat_sa: sum(true),
    feat_lf: sum(false),
  };
  const weighted = lossParts.map((part) => mul(losses[part], input(`factor_${part}`, [1])));
  const total = weighted.reduce((a, b) => add(a, b));
  const outputs = { total, ...losses, feat: add(losses.feat_sa, losses.feat_lf) };
  const program = await wholeProgram(await all.engine(), { params: loss.params, outputs }, student.layout);
  return { program, inputNames: [...inputNames, ...lossParts.map((part) => `factor_${part}`)] };
}

async function checkpointedStep(student: Student, all: DistillationNetworks, size: StepSize): Promise<Step> {
  const watch = stagePaths(student.config);
  const { trace, loss, inputNames } = studentLoss(student.config, student.pairs("koala"), size, {
    weights: unitLossWeights,
    watch,
  });
  const borders = watch.map((path) => trace.at.get(path)!);
  return {
    program: await checkpointedProgram(await all.engine(), loss, student.layout, borders),
    inputNames,
  };
}
