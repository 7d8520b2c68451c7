/** @file Losses and gradients of a step: of the total, of single terms, and of the variants of the task loss. */

import { floats, type Values } from "../../src/engine/engine.js";
import { add, input, mul } from "../../src/tensor/operations.js";
import type { Tensor } from "../../src/tensor/tensor.js";
import { blockPaths } from "../../src/train/distillation-task.js";
import { segmentedProgram } from "../../src/train/gradient-checkpointing.js";
import { wholeProgram } from "../../src/train/gradient-program.js";
import { minSnrWeights } from "../../src/train/noise.js";
import type { StepSize } from "../../src/train/step.js";
import { once, oncePer } from "./folder.js";
import { pairName } from "./forward.js";
import { allTerms, feeds, lossOf, type Nets, type Step, type Student } from "./networks.js";
import { setNamed } from "./student.js";

/** One run of a program; `flat` holds all gradients in the student's layout. */
export type Pulled = { readonly terms: Readonly<Record<string, number>>; readonly parameters: Float32Array };

/** The parts of the total loss that stand in the golden data by themselves; `feat` is the last two. */
const parts = ["task", "out", "feat_sa", "feat_lf"] as const;
type Part = (typeof parts)[number];

const single: Readonly<Record<string, readonly Part[]>> = {
  task: ["task"],
  out: ["out"],
  feat: ["feat_sa", "feat_lf"],
  feat_sa: ["feat_sa"],
  feat_lf: ["feat_lf"],
};

/** What one step's losses and gradients can be asked for. */
export type Puller = {
  /** The total with this feature set, by the trainer's program. */
  total(set: string): Promise<Pulled>;
  /** A term alone: task, out, feat, feat_sa or feat_lf. */
  term(name: string): Promise<Pulled>;
  /** The total of `v_prediction`, `min_snr_5`, `min_snr_5_v` and the like. */
  variant(name: string): Promise<Pulled>;
  /** The total, in programs cut at the block borders. */
  checkpointed(): Promise<Pulled>;
};

export function puller(student: Student, all: Nets): Puller {
  const size = once(async () => (await all.batch("step")).size);
  const run = async (step: Step, more: Readonly<Record<string, Values>> = {}, v = false) => {
    const { epsilon, v: velocity } = await all.schedules();
    const taught = await all.taught("step");
    const parameters = new Float32Array(student.layout.total);
    const schedule = v ? velocity : epsilon;
    const inputs = feeds(step.wanted, await all.batch("step"), taught, { schedule, more });
    const results = await step.program.run(student.weights(), inputs, parameters);
    const terms = Object.entries(results).map(([name, values]) => [name, values[0]!]);
    return { terms: Object.fromEntries(terms), parameters: parameters };
  };
  const byTerm = once(async () => factoredStep(student, all, await size()));
  const factored = async (chosen: readonly Part[], weights?: Float32Array, v = false) => {
    const { batch } = await size();
    const ones = new Float32Array(batch).fill(1);
    const factors = parts.map((part) => [
      `factor_${part}`,
      floats(Float32Array.of(chosen.includes(part) ? 1 : 0), 1),
    ]);
    const more = { ...Object.fromEntries(factors), task_weights: floats(weights ?? ones, batch) };
    return run(await byTerm(), more, v);
  };
  return {
    total: oncePer(async (set) => run(await student.step(setNamed(set), await size()))),
    term: oncePer(async (name) => factored(single[name] ?? unknown(`term "${name}"`))),
    variant: oncePer(async (name) => {
      if (name === "v_prediction") return run(await student.step("koala", await size()), {}, true);
      const found = /^min_snr_([\d.]+)(_v)?(_older_script)?$/.exec(name) ?? unknown(`variant "${name}"`);
      const [, gamma, v, older] = found;
      const { epsilon, v: velocity } = await all.schedules();
      const { timesteps } = await all.batch("step");
      const options = { gamma: Number(gamma), rule: older ? "older" : "current" } as const;
      const weights = minSnrWeights(v ? velocity : epsilon, timesteps, options);
      return factored(parts, weights, v !== undefined);
    }),
    checkpointed: async () => run(await checkpointedStep(student, all, await size())),
  };
}

function unknown(what: string): never {
  throw new Error(`this tool knows no ${what}`);
}

/** The trainer's program of the weighted task loss, with a factor as an input for each part of the total. */
async function factoredStep(student: Student, all: Nets, size: StepSize): Promise<Step> {
  const pairs = student.pairs("koala");
  const options = { weights: allTerms, weightedTask: true };
  const { trace, loss, wanted } = lossOf(student.config, pairs, size, options);
  const attention = new Set(student.pairs("sa").map(pairName));
  const sum = (inSet: boolean) =>
    trace.losses.pairs
      .filter((_, i) => attention.has(pairName(pairs[i]!)) === inSet)
      .reduce((a, b) => add(a, b));
  const terms: Record<Part, Tensor> = {
    task: trace.losses.task!,
    out: trace.losses.out!,
    feat_sa: sum(true),
    feat_lf: sum(false),
  };
  const weighed = parts.map((part) => mul(terms[part], input(`factor_${part}`, [1])));
  const total = weighed.reduce((a, b) => add(a, b));
  const outputs = { total, ...terms, feat: add(terms.feat_sa, terms.feat_lf) };
  const program = await wholeProgram(all.engine, { params: loss.params, outputs }, student.layout);
  return { program, wanted: [...wanted, ...parts.map((part) => `factor_${part}`)] };
}

async function checkpointedStep(student: Student, all: Nets, size: StepSize): Promise<Step> {
  const watch = blockPaths(student.config);
  const { trace, loss, wanted } = lossOf(student.config, student.pairs("koala"), size, {
    weights: allTerms,
    watch,
  });
  const borders = watch.map((place) => trace.at.get(place)!);
  return { program: await segmentedProgram(all.engine, loss, student.layout, borders), wanted };
}
