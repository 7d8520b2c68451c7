/**
 * @file One step's outputs, features and losses against golden/data/distil/step-* (PyTorch and Diffusers).
 */

import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { floats, floatsOf, type Session, type Values } from "../../src/engine/engine.js";
import { lower } from "../../src/engine/lower.js";
import { blockingEngine } from "../../src/engine/ort/blocking-engine.js";
import { unetConfig } from "../../src/models/unet-config.js";
import { componentProgram } from "../../src/pipeline/component.js";
import { count, made } from "../../src/tensor/tensor.js";
import { type FeaturePair, type FeatureSet, featurePairs, featureSets } from "../../src/train/features.js";
import { addNoise, minSnrWeights, trainingNoise, trainingTarget } from "../../src/train/noise.js";
import { type StudentOptions, type StudentTrace, studentTrace, teacherTrace } from "../../src/train/step.js";
import { resolveWeights } from "../../src/weights/component.js";
import { openSafetensors, type SafetensorsFile } from "../../src/weights/safetensors-file.js";

const golden = new URL("../../golden/data/distil/", import.meta.url).pathname;
const json = (name: string) => JSON.parse(readFileSync(`${golden}${name}`, "utf8"));
const engine = blockingEngine({ threads: 1 });
const size = { batch: 3, height: 16, width: 12, tokens: 7 };
const all = { task: 1, out: 1, feat: 1 };

const inputs = await openSafetensors(`${golden}step-inputs.safetensors`);
const latents = await inputs.readFloats("latents");
const noise = await inputs.readFloats("noise");
const timesteps = Array.from((await inputs.read("timesteps")) as BigInt64Array, Number);
const betas = { beta_schedule: "scaled_linear", beta_start: 0.00085, beta_end: 0.012 };
const epsilon = trainingNoise(betas);
const v = trainingNoise(betas, { target: "v_prediction" });
const batch: Record<string, Values> = {
  sample: floats(addNoise(epsilon, latents, noise, timesteps), 3, 4, 16, 12),
  timestep: floats(Float32Array.from(timesteps), 3),
  encoder_hidden_states: floats(await inputs.readFloats("prompt_embeds"), 3, 7, 20),
  text_embeds: floats(await inputs.readFloats("pooled"), 3, 12),
  time_ids: floats(await inputs.readFloats("time_ids"), 3, 6),
};
const targetOf = (schedule: typeof v) =>
  floats(trainingTarget(schedule, latents, noise, timesteps), 3, 4, 16, 12);
const weightsOf = (schedule: typeof v, options: { gamma: number }) =>
  floats(minSnrWeights(schedule, timesteps, options), 3);

type Number64 = { value: number; float64: number };
type Golden = {
  losses: Record<"task" | "out" | "feat" | "feat_sa" | "feat_lf" | "total" | "total_sa", Number64>;
  variants: Record<string, Record<"task" | "out" | "feat" | "total", Number64>>;
  feature_sets: Record<FeatureSet, { pairs: number; sum: Number64 }>;
  pairs: Record<FeatureSet, (FeaturePair & Number64)[]>;
};

function expectClose(got: Float32Array, wanted: Float32Array, tolerance: number, what: string): void {
  expect(got.length, what).toBe(wanted.length);
  const worst = wanted.reduce((most, x, i) => Math.max(most, Math.abs(x - got[i]!)), 0);
  const largest = wanted.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
  expect(worst / largest, what).toBeLessThan(tolerance);
}

/** Relative, 1e-5. Where both networks compute the same, the loss is the square of a rounding error. */
function expectLoss(got: number | undefined, { value }: Number64, what: string): void {
  if (value === 0) expect(got, what).toBeLessThan(1e-12);
  else expect(Math.abs(got! - value) / value, what).toBeLessThan(1e-5);
}

const renamed = <T>(prefix: string, values: Readonly<Record<string, T>>) =>
  Object.fromEntries(Object.entries(values).map(([name, x]) => [`${prefix}${name}`, x]));

async function initialWeights(which: string): Promise<Record<string, Values>> {
  const file = await openSafetensors(`${golden}student-init-${which}/diffusion_pytorch_model.safetensors`);
  const weights: Record<string, Values> = {};
  for (const [name, { shape }] of file.tensors) weights[name] = floats(await file.readFloats(name), ...shape);
  return weights;
}

/** One student, its teacher's results, and the golden values of a step. Called in a `describe`. */
function stepOf(which: string) {
  const wanted: Golden = json(`step-${which}.json`);
  const teacher = unetConfig(json("teacher/config.json"));
  const student = unetConfig(json(`student-init-${which}/config.json`));
  const sets = featureSets.filter((set) => set !== "none");
  const key = ({ student, teacher }: FeaturePair) => `${student} <- ${teacher}`;
  const everyPair = [
    ...new Map(
      sets.flatMap((set) => featurePairs(student, teacher, set)).map((pair) => [key(pair), pair]),
    ).values(),
  ];
  const koala = featurePairs(student, teacher, "koala");
  let file: SafetensorsFile;
  let weights: Record<string, Values>;
  let taught: Record<string, Values>;
  const sessions: Session[] = [];

  beforeAll(async () => {
    file = await openSafetensors(`${golden}step-${which}.safetensors`);
    weights = await initialWeights(which);
    const stored = await resolveWeights(`${golden}teacher`);
    const program = componentProgram("teacher", "teacher", stored, teacherTrace(teacher, everyPair), engine);
    const session = await engine.load(program);
    taught = await session.run(batch);
    await session.release();
  }, 60_000);
  afterAll(async () => {
    for (const session of sessions) await session.release();
  });

  /** The inputs of the trace, and the weights. */
  const feeds = (trace: StudentTrace, more: Record<string, Values>) => {
    const given = { ...batch, ...taught, ...more };
    const chosen = [...trace.inputs.keys()].map((name) => [name, given[name]!] as const);
    return { ...weights, ...Object.fromEntries(chosen) };
  };
  const load = async (pairs: readonly FeaturePair[], options: StudentOptions) => {
    const trace = studentTrace(student, pairs, size, options);
    const seen = Object.fromEntries([...trace.at].map(([path, x]) => [`at/${path}`, x]));
    const program = lower("student", { ...trace.outputs, ...seen, student_out: trace.output });
    const session = await engine.load(program);
    sessions.push(session);
    return async (more: Record<string, Values>) => session.run(feeds(trace, more));
  };
  const loss = (results: Record<string, Values>, name: string) => floatsOf(results[name])[0];
  const opened = () => ({ file, taught });
  return { wanted, student, teacher, sets, key, everyPair, koala, load, loss, opened };
}

describe.each(["1b", "700m"])("the outputs of a step of %s", (which) => {
  const { koala, load, loss, opened, wanted } = stepOf(which);

  it("has the golden noisy latents", async () => {
    const { file } = opened();
    expectClose(floatsOf(batch.sample), await file.readFloats("noisy"), 2e-6, "noisy");
  });

  it("has the teacher's output and features", async () => {
    const { file, taught } = opened();
    expectClose(floatsOf(taught.teacher_out), await file.readFloats("teacher_out"), 1e-4, "teacher_out");
    const names = [...file.tensors.keys()].filter((name) => name.startsWith("teacher_feature/"));
    expect(names.length).toBe(koala.length);
    for (const name of names) expectClose(floatsOf(taught[name]), await file.readFloats(name), 1e-4, name);
  });

  it("has the student's output, features, activations and losses", async () => {
    const { file } = opened();
    const activations = [...file.tensors.keys()].flatMap(
      (name) => /^activation\/(.+)$/.exec(name)?.[1] ?? [],
    );
    const run = await load(koala, { weights: all, watch: activations });
    const results = await run({ target: targetOf(epsilon) });
    expectClose(floatsOf(results.student_out), await file.readFloats("student_out"), 3e-5, "student_out");
    for (const name of file.tensors.keys()) {
      const path = /^(?:student_feature|activation)\/(.+)$/.exec(name)?.[1];
      if (path) expectClose(floatsOf(results[`at/${path}`]), await file.readFloats(name), 3e-5, name);
    }
    for (const name of ["task", "out", "feat", "total"] as const) {
      expectLoss(loss(results, name), wanted.losses[name], name);
    }
    // A stored teacher tells the loss's own error from the teacher's.
    const stored = [...file.tensors].filter(([name]) => name.startsWith("teacher_"));
    const teacherTensors: Record<string, Values> = {};
    for (const [name, { shape }] of stored)
      teacherTensors[name] = floats(await file.readFloats(name), ...shape);
    const again = await run({ ...teacherTensors, target: targetOf(epsilon) });
    for (const name of ["task", "out", "feat", "total"] as const) {
      expectLoss(loss(again, name), wanted.losses[name], name);
    }
  });
});

describe.each(["1b", "700m"])("the losses of a step of %s", (which) => {
  const { everyPair, key, koala, load, loss, sets, student, teacher, wanted } = stepOf(which);

  it("has the golden mean squared error of every pair of every feature set", async () => {
    const run = await load(everyPair, { weights: { task: 0, out: 0, feat: 1 } });
    const values = floatsOf((await run({})).pairs);
    const found = new Map(everyPair.map((pair, i) => [key(pair), values[i]!]));
    for (const set of sets) {
      const rows = wanted.pairs[set];
      expect(rows.length).toBe(wanted.feature_sets[set].pairs);
      for (const row of rows) expectLoss(found.get(key(row)), row, `${set}: ${key(row)}`);
      const sum = featurePairs(student, teacher, set).reduce(
        (total, pair) => total + found.get(key(pair))!,
        0,
      );
      expectLoss(sum, wanted.feature_sets[set].sum, set);
    }
  });

  it("has the golden totals of the sets sa and lf_ends", async () => {
    const runSa = await load(featurePairs(student, teacher, "sa"), { weights: all });
    const sa = await runSa({ target: targetOf(epsilon) });
    expectLoss(loss(sa, "feat"), wanted.losses.feat_sa, "feat_sa");
    expectLoss(loss(sa, "total"), wanted.losses.total_sa, "total_sa");
    const runLf = await load(featurePairs(student, teacher, "lf_ends"), {
      weights: { task: 0, out: 0, feat: 1 },
    });
    const lf = await runLf({});
    expectLoss(loss(lf, "feat"), wanted.losses.feat_lf, "feat_lf");
  });

  it("has the golden losses of every variant", async () => {
    const plain = await load(koala, { weights: all });
    const weighted = await load(koala, { weights: all, weightedTask: true });
    const variants: Record<string, () => Promise<Record<string, Values>>> = {
      v_prediction: () => plain({ target: targetOf(v) }),
      min_snr_5: () =>
        weighted({ target: targetOf(epsilon), task_weights: weightsOf(epsilon, { gamma: 5 }) }),
      min_snr_1: () =>
        weighted({ target: targetOf(epsilon), task_weights: weightsOf(epsilon, { gamma: 1 }) }),
      min_snr_5_v: () => weighted({ target: targetOf(v), task_weights: weightsOf(v, { gamma: 5 }) }),
    };
    for (const [name, losses] of Object.entries(wanted.variants)) {
      const results = await variants[name]!();
      for (const term of ["task", "out", "feat", "total"] as const) {
        expectLoss(loss(results, term), losses[term], `${name}: ${term}`);
      }
    }
  });
});

const config = unetConfig(json("student-init-700m/config.json"));
const koala = featurePairs(config, config, "koala");

describe("a student equal to its teacher", () => {
  const trace = studentTrace(config, koala, size, { weights: { task: 0, out: 1, feat: 1 } });
  const features = koala.map(
    ({ student, teacher }) => [`teacher_feature/${teacher}`, trace.at.get(student)!] as const,
  );
  const own = { teacher_out: trace.output, ...Object.fromEntries(features) };
  const losses = (results: Record<string, Values>) => [floatsOf(results.out)[0], floatsOf(results.feat)[0]];

  it("has no output and no feature loss beyond rounding", async () => {
    const stored = await resolveWeights(`${golden}student-init-700m`);
    const teacher = await engine.load(
      componentProgram("teacher", "teacher", stored, teacherTrace(config, koala), engine),
    );
    const student = await engine.load(lower("student", trace.outputs));
    const taught = await teacher.run(batch);
    for (const x of losses(await student.run({ ...(await initialWeights("700m")), ...batch, ...taught }))) {
      expect(x).toBeLessThan(1e-11);
    }
    await teacher.release();
    await student.release();
  });

  it("has exactly none if one program gives the teacher's results and compares with them", async () => {
    const graph = lower("student", { ...trace.outputs, ...renamed("own/", own) });
    const student = await engine.load(graph);
    const given = { ...(await initialWeights("700m")), ...batch };
    const blank = Object.entries(own).map(([name, { shape }]) => [
      name,
      floats(new Float32Array(count(shape)), ...shape),
    ]);
    const first = await student.run({ ...given, ...Object.fromEntries(blank) });
    const again = Object.keys(own).map((name) => [name, first[`own/${name}`]!]);
    expect(losses(first).every((x) => x! > 0)).toBe(true);
    expect(losses(await student.run({ ...given, ...Object.fromEntries(again) }))).toEqual([0, 0]);
    await student.release();
  });
});

describe("the graph of a step", () => {
  it("takes the teacher's results as inputs, so that no gradient can reach it", () => {
    const trace = studentTrace(config, koala, size, { weights: all });
    const reached = new Set([trace.losses.total]);
    for (const x of reached) for (const y of x.inputs) reached.add(y);
    const params = [...reached].filter((x) => made("param", x));
    expect(new Set(params)).toEqual(new Set(trace.params.values()));
    const inputs = [...reached].flatMap((x) => (made("input", x) ? x.attrs.name : []));
    expect(inputs.sort()).toEqual([...trace.inputs.keys()].sort());
    expect(inputs.filter((name) => name.startsWith("teacher_")).length).toBe(1 + koala.length);
  });

  it("needs no teacher without out and feat", () => {
    const trace = studentTrace(config, koala, size, { weights: { task: 1, out: 0, feat: 0 } });
    expect([...trace.inputs.keys()]).toEqual([
      "sample",
      "timestep",
      "encoder_hidden_states",
      "text_embeds",
      "time_ids",
      "target",
    ]);
    expect(Object.keys(trace.outputs)).toEqual(["total", "task"]);
  });

  it("weighs its terms", async () => {
    const trace = studentTrace(config, koala, size, { weights: { task: 2, out: 0.5, feat: 3 } });
    const session = await engine.load(lower("student", trace.outputs));
    const file = await openSafetensors(`${golden}step-700m.safetensors`);
    const feeds: Record<string, Values> = {
      ...(await initialWeights("700m")),
      ...batch,
      target: targetOf(epsilon),
    };
    for (const name of trace.inputs.keys()) {
      const { student } = koala.find((pair) => name === `teacher_feature/${pair.teacher}`) ?? {};
      if (name === "teacher_out") feeds[name] = floats(await file.readFloats(name), 3, 4, 16, 12);
      if (student) {
        const { shape } = file.tensors.get(`student_feature/${student}`)!;
        feeds[name] = floats(new Float32Array(shape.reduce((a, b) => a * b)), ...shape);
      }
    }
    const results = await session.run(feeds);
    const [total, task, out, feat] = ["total", "task", "out", "feat"].map(
      (name) => floatsOf(results[name])[0]!,
    );
    expect(Math.abs(total! / (2 * task! + 0.5 * out! + 3 * feat!) - 1)).toBeLessThan(1e-6);
    await session.release();
  });
});
