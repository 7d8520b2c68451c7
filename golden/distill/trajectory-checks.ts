/** @file trajectory-W.*: a stage of trajectory distillation, its loss in samples and in the noise. */

import { z } from "zod";
import { stepComparison } from "../../src/train/step-distillation/comparison.js";
import { applied, ddimStep } from "../../src/train/step-distillation/linear.js";
import { trajectoryMethod } from "../../src/train/step-distillation/method.js";
import { trajectoryLosses } from "../../src/train/step-distillation/options.js";
import { endOf, type Path, solve, startOf } from "../../src/train/step-distillation/solver.js";
import {
  type Check,
  type Computed,
  orFailingCheck,
  type TensorData,
  tensorData,
} from "../conformance/check.js";
import { equal } from "../conformance/tolerances.js";
import { type DistillFolder, json, lazyByKey, studentIds, tensorExpectations, tensorsOf } from "./folder.js";
import { computedGradient, expectedGradient, gradientSchema } from "./step-gradients.js";
import { goldenBatch, runStep, type StepNetworks, stepNetworks } from "./step-networks.js";
import * as near from "./tolerances.js";

const schema = z.looseObject({
  student: z.string(),
  teacher: z.string(),
  start: z.array(z.int()),
  span: z.int(),
  guidance_scale: z.number(),
  /** Beside them a table of floors. */
  losses: z.record(z.string(), z.looseObject({})).transform((all) => {
    const named = Object.entries(all).filter(([name]) => trajectoryLosses.some((type) => type === name));
    return Object.fromEntries(named.map(([name, loss]) => [name, gradientSchema.parse(loss)]));
  }),
});
type TrajectoryJson = z.infer<typeof schema>;

export async function trajectoryChecks(set: DistillFolder): Promise<Check[]> {
  const rows: Check[] = [];
  for (const id of studentIds(set, "trajectory"))
    rows.push(...(await orFailingCheck(`trajectory-${id}`, () => checksOf(set, id))));
  return rows;
}

async function checksOf(set: DistillFolder, id: string): Promise<Check[]> {
  const owner = `trajectory-${id}.json`;
  const golden = schema.parse(await json(set, owner));
  const file = await tensorsOf(set, `trajectory-${id}.safetensors`, { owner });
  const networks = stepNetworks(set, golden);
  const run = lazyByKey((loss) => stageOf(set, owner, golden, networks, loss));
  const names = file.names.filter((name) => !name.startsWith("few/"));
  const tensors: Check = {
    name: `trajectory-${id}/tensors`,
    compute: async () => {
      const found = await Promise.all(
        Object.keys(golden.losses).map(async (loss) => (await run(loss)).tensors),
      );
      return new Map(found.flatMap((computed) => [...computed]));
    },
    expected: async () =>
      new Map(
        await tensorExpectations(file, names, (name) =>
          /^(start|middle|end)$/.test(name) ? equal : near.stepTensor(name),
        ),
      ),
  };
  const gradients = Object.entries(golden.losses).map(([loss, expected]): Check => {
    const stored = { file, prefix: `few/${loss}/` };
    return {
      name: `trajectory-${id}/gradients-${loss}`,
      compute: async () =>
        computedGradient((await networks.student()).layout, await run(loss), expected, stored),
      expected: () => expectedGradient(expected, stored, near.stepGradient(loss)),
    };
  });
  return [tensors, ...gradients];
}

/** From each start two equal DDIM steps of the teacher, as one of the student. */
const pathsOf = ({ start, span }: TrajectoryJson): Path[] =>
  start.map((from) => [from, from - span / 2, from - span]);

async function stageOf(
  set: DistillFolder,
  owner: string,
  golden: TrajectoryJson,
  networks: StepNetworks,
  loss: string,
): Promise<{ loss: number; gradient: Float32Array; tensors: Computed }> {
  const lossType = trajectoryLosses.find((type) => type === loss);
  if (!lossType) throw new Error(`this build has no loss "${loss}" of trajectories`);
  const inputs = await tensorsOf(set, "trajectory-inputs.safetensors", { owner, isInput: () => true });
  const [noise, student] = [await networks.noise(), await networks.student()];
  const paths = pathsOf(golden);
  const batch = await goldenBatch(inputs, "", noise, paths);
  const w = Float32Array.from(paths, () => golden.guidance_scale - 1);
  const { steps } = await solve(noise, { ...batch, w }, await networks.teacher());
  const method = trajectoryMethod(noise, { steps: 1, teacherSteps: 2, lossType });
  const reached = { ...batch.inputs.sample!, data: steps.at(-1)!.sample };
  const compared = await stepComparison({ method, paths, inputs: batch.inputs, reached }, () => {
    throw new Error("internal: trajectories have no target network");
  });
  const given = { ...batch.inputs, ...compared };
  const step = await student.step(batch.size, {
    weights: { task: 0, out: 0, feat: 0, solver: 1 },
    solver: { huberC: undefined },
  });
  const { terms, gradient } = await runStep(student, step, student.initial, given);
  const output = await (await student.target(batch.size)).run(student.initial, given);
  const { shape, data } = batch.inputs.sample!;
  const like = (numbers: Float32Array): TensorData => ({ data: numbers, shape });
  const oneStep = paths.map((path) => ddimStep(noise, startOf(path), endOf(path)));
  const tensors = new Map<string, TensorData>([
    ["start", tensorData(paths.map(startOf))],
    ["middle", tensorData(paths.map((path) => path[1]!))],
    ["end", tensorData(paths.map(endOf))],
    ["noisy", batch.inputs.sample!],
    ["teacher_eps_1", like(steps[0]!.output)],
    ["x_middle", like(steps[0]!.sample)],
    ["teacher_eps_2", like(steps[1]!.output)],
    ["x_end_teacher", reached],
    ["student_eps", like(output)],
    ["x_end_student", like(applied(oneStep, data as Float32Array, output))],
    ...(lossType === "eps" ? ([["eps_target", compared.step_target!]] as const) : []),
  ]);
  return { loss: terms.total![0]!, gradient, tensors };
}
