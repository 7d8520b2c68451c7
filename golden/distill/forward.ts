/** @file The inside of a step: outputs, features, activations with their gradients, and the error of every pair. */

import { floatsOf, type Values } from "../../src/engine/engine.js";
import { lower } from "../../src/engine/lower.js";
import { gradients } from "../../src/tensor/gradient.js";
import { input } from "../../src/tensor/operations.js";
import type { Tensor } from "../../src/tensor/tensor.js";
import { type FeaturePair, featureSets } from "../../src/train/features.js";
import { trainingDevice } from "../../src/train/gradient-program.js";
import { squaredError } from "../../src/train/loss.js";
import { teacherFeature } from "../../src/train/step.js";
import type { Computed, TensorData } from "../conformance/check.js";
import {
  type DistillationNetworks,
  programInputs,
  type Student,
  studentLoss,
  unitLossWeights,
} from "./networks.js";

export type Forward = {
  /** By the names of `step-W.safetensors`. */
  readonly tensors: Computed;
  /** Mean squared errors by `pairName`. */
  readonly pairs: ReadonlyMap<string, number>;
};

export const pairName = ({ student, teacher }: Pick<FeaturePair, "student" | "teacher">): string =>
  `${student} <- ${teacher}`;

const under = (names: readonly string[], prefix: string): string[] =>
  names.flatMap((name) => (name.startsWith(prefix) ? name.slice(prefix.length) : []));

/** Computes everything in `names`, in one program. */
export async function forwardPass(
  student: Student,
  all: DistillationNetworks,
  names: readonly string[],
): Promise<Forward> {
  const batch = await all.batch("step");
  const teacherResults = await all.teacherResults("step");
  const pairs = new Map(
    featureSets.flatMap((set) => student.pairs(set)).map((p) => [pairName(p), p] as const),
  );
  const watch = [...under(names, "activation/"), ...[...pairs.values()].map((pair) => pair.student)];
  const { trace } = studentLoss(student.config, student.pairs("koala"), batch.size, {
    weights: unitLossWeights,
    watch,
  });
  const inputs = new Map(trace.inputs);
  const errorOf = (pair: FeaturePair): Tensor => {
    const ours = trace.at.get(pair.student)!;
    const name = teacherFeature(pair.teacher);
    const theirs = inputs.get(name) ?? input(name, ours.shape);
    inputs.set(name, theirs);
    return squaredError(ours, theirs);
  };
  const paths = under(names, "activation_grad/");
  const tensorAt = (path: string) => (path === "noisy" ? inputs.get("sample")! : trace.at.get(path)!);
  const found = gradients(trace.losses.total, paths.map(tensorAt));
  const engine = await all.engine();
  const session = await engine.load(
    lower(
      "student",
      {
        total: trace.losses.total,
        student_out: trace.output,
        ...named("at/", trace.at),
        ...named("error/", new Map([...pairs].map(([name, pair]) => [name, errorOf(pair)]))),
        ...named("activation_grad/", new Map(paths.map((path, i) => [path, found[i]!]))),
      },
      { device: trainingDevice(engine.device) },
    ),
  );
  const { epsilon: schedule } = await all.schedules();
  const weights = student.layout.values(student.weights());
  const results = await session.run({
    ...weights,
    ...programInputs([...inputs.keys()], batch, teacherResults, { schedule }),
  });
  await session.release();
  return {
    tensors: new Map([["noisy", batch.inputs.sample!], ...stored(names, results, teacherResults)]),
    pairs: new Map([...pairs.keys()].map((name) => [name, floatsOf(results[`error/${name}`])[0]!])),
  };
}

const named = (prefix: string, tensors: ReadonlyMap<string, Tensor>): Record<string, Tensor> =>
  Object.fromEntries([...tensors].map(([name, x]) => [prefix + name, x]));

/** The teacher's tensors, the student's from input to output, and the gradients from the output backwards. */
function stored(
  names: readonly string[],
  results: Readonly<Record<string, Values>>,
  teacherResults: Readonly<Record<string, Values>>,
): [string, TensorData][] {
  const at = Object.keys(results).flatMap((name) => under([name], "at/"));
  const order = [
    ...Object.entries(teacherResults),
    ...at.flatMap((path): [string, TensorData][] =>
      ["activation", "student_feature"].map((kind) => [`${kind}/${path}`, results[`at/${path}`]!]),
    ),
    ["student_out", results.student_out!] as const,
    ...[...at, "noisy"].reverse().flatMap((path): [string, TensorData][] => {
      const name = `activation_grad/${path}`;
      return results[name] ? [[name, results[name]]] : [];
    }),
  ] as [string, TensorData][];
  const requested = new Set(names);
  return order.filter(([name]) => requested.has(name));
}
