/** @file lcm-W.*: one step of consistency distillation in its variants, and five updates with their target network. */

import { boundaryScalings } from "../../src/diffusion/boundary-scalings.js";
import {
  type Check,
  type Computed,
  type Expectation,
  type Expectations,
  orFailingCheck,
  type TensorData,
  tensorData,
} from "../conformance/check.js";
import type { GoldenFile } from "../conformance/golden-file.js";
import { equal } from "../conformance/tolerances.js";
import {
  type Consistency,
  type ConsistencyJson,
  consistencySchema,
  consistencyStep,
  type TrainedStudent,
  trained,
  variantNamed,
} from "./consistency-run.js";
import { type DistillFolder, json, lazy, lazyByKey, scalarData, studentIds, tensorsOf } from "./folder.js";
import { computedGradient, expectedGradient, joined } from "./step-gradients.js";
import { type StepStudent, stepNetworks } from "./step-networks.js";
import * as near from "./tolerances.js";

export async function consistencyChecks(set: DistillFolder): Promise<Check[]> {
  const rows: Check[] = [];
  for (const id of studentIds(set, "lcm"))
    rows.push(...(await orFailingCheck(`lcm-${id}`, () => checksOf(set, id))));
  return rows;
}

async function checksOf(set: DistillFolder, id: string): Promise<Check[]> {
  const owner = `lcm-${id}.json`;
  const golden = consistencySchema.parse(await json(set, owner));
  const open = (name: string, isInput?: (tensor: string) => boolean) =>
    tensorsOf(set, name, { owner, ...(isInput && { isInput }) });
  const values = await open(`lcm-${id}.safetensors`);
  const main = await open(`lcm-${id}.grads.safetensors`);
  const weights = await open(`lcm-${id}.weights-step${golden.training.log.length}.safetensors`);
  const targets = await open(`lcm-${id}.target-step${golden.training.log.length}.some.safetensors`);
  const networks = stepNetworks(set, golden);
  const all: Consistency = {
    golden,
    networks,
    inputs: await open("lcm-inputs.safetensors", () => true),
    student: (variant) => {
      const { time_cond_proj_dim: timeCondProjDim, cond_proj: more } = golden;
      if (!variantNamed(variant).embedded) return networks.student();
      return networks.student({ timeCondProjDim: timeCondProjDim!, more: more! });
    },
  };
  const run = lazyByKey(async (variant) => consistencyStep(all, variant));
  const training = lazy(async () => trained(all));
  const names = values.names.filter((name) => !name.startsWith("few/"));
  const row = (name: string, compute: Check["compute"], expected: Check["expected"]): Check => ({
    name: `lcm-${id}/${name}`,
    compute,
    expected,
  });
  return [
    row(
      "boundary-scalings",
      async () => new Map(golden.boundary_scalings.map((entry) => [scalingName(entry), scalingOf(entry)])),
      async () =>
        new Map(
          golden.boundary_scalings.map((entry): [string, Expectation] => [
            scalingName(entry),
            { tolerance: near.boundaryScaling, numbers: tensorData([entry.c_skip, entry.c_out]) },
          ]),
        ),
    ),
    row(
      "tensors",
      async () => {
        const found = await Promise.all(Object.keys(golden.steps).map(async (v) => (await run(v)).tensors));
        return new Map(found.flatMap((tensors) => [...tensors]).filter(([name]) => names.includes(name)));
      },
      async () => tensorExpectations(values, names),
    ),
    ...Object.entries(golden.steps).map(([variant, expected]) => {
      const inFile = values.names.some((name) => name.startsWith(`few/${variant}/`));
      const stored = inFile ? { file: values, prefix: `few/${variant}/` } : { file: main, prefix: "" };
      return row(
        `gradients-${variant}`,
        async () =>
          computedGradient((await all.student(variant)).layout, await run(variant), expected, stored),
        () => expectedGradient(expected, stored, near.stepGradient(variant)),
      );
    }),
    row(
      "training",
      async () => trainingOf(await training(), await all.student("main"), { weights, targets }),
      async () => expectedTraining(golden, await all.student("main"), { weights, targets }),
    ),
  ];
}

type Scaling = ConsistencyJson["boundary_scalings"][number];
const scalingName = ({ sigma_data, timestep_scaling, timestep }: Scaling) =>
  `sigma_data ${sigma_data}, timestep_scaling ${timestep_scaling}, timestep ${timestep}`;
function scalingOf({ sigma_data: sigmaData, timestep_scaling: timestepScaling, timestep }: Scaling) {
  const { skip, out } = boundaryScalings(timestep, { sigmaData, timestepScaling });
  return tensorData([skip, out]);
}

async function tensorExpectations(file: GoldenFile, names: readonly string[]): Promise<Expectations> {
  const entries = names.map(async (name): Promise<[string, Expectation]> => {
    const tolerance = /(^|\/)(start_)?timesteps$/.test(name) ? equal : near.stepTensor(name);
    return [name, { tolerance, numbers: await file.expected(name) }];
  });
  return new Map(await Promise.all(entries));
}

type Ends = { weights: GoldenFile; targets: GoldenFile };

function trainingOf(
  { log, state, target }: TrainedStudent,
  { layout, initial }: StepStudent,
  files: Ends,
): Computed {
  const moved = (parameters: Float32Array, { names }: GoldenFile) =>
    joined(names.map((name) => difference(layout.view(parameters, name), layout.view(initial, name))));
  return new Map<string, TensorData>([
    ...log.flatMap(({ loss, norm }, i): [string, TensorData][] => [
      [`update ${i + 1}: loss`, scalarData(loss)],
      [`update ${i + 1}: norm before clipping`, scalarData(norm)],
    ]),
    ["(update of the weights)", moved(state.weights, files.weights)],
    ["(update of the target network)", moved(target, files.targets)],
  ]);
}

async function expectedTraining(
  { training }: ConsistencyJson,
  { layout, initial }: StepStudent,
  files: Ends,
): Promise<Expectations> {
  const moved = async (file: GoldenFile) => {
    const each = file.names.map(async (name) =>
      difference((await file.expected(name)).data as Float32Array, layout.view(initial, name)),
    );
    return { tolerance: near.stepUpdate, numbers: joined(await Promise.all(each)) };
  };
  const rows = training.log.flatMap(({ loss, norm_before_clip: norm }, i): [string, Expectation][] => [
    [`update ${i + 1}: loss`, near.lossExpectation(loss.value, near.laterLoss(loss.floor ?? 0))],
    [
      `update ${i + 1}: norm before clipping`,
      { tolerance: near.stepNorm(norm.floor ?? 0), numbers: scalarData(norm.value) },
    ],
  ]);
  return new Map([
    ...rows,
    ["(update of the weights)", await moved(files.weights)],
    ["(update of the target network)", await moved(files.targets)],
  ]);
}

const difference = (a: Float32Array, b: Float32Array): Float32Array => a.map((x, i) => x - b[i]!);
