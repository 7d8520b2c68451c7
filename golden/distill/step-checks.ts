/** @file step-W.*: the rows of one step. */

import { z } from "zod";
import type { ParameterBuffer } from "../../src/train/parameter-buffer.js";
import {
  type Check,
  type Computed,
  type Expectation,
  type Expectations,
  orFailingCheck,
  type TensorData,
  type Tolerance,
  tensorData,
} from "../conformance/check.js";
import type { GoldenFile } from "../conformance/golden-file.js";
import { equal } from "../conformance/tolerances.js";
import {
  type DistillFolder,
  json,
  lazy,
  scalarData,
  studentIds,
  tensorExpectations,
  tensorsOf,
} from "./folder.js";
import { type Forward, forwardPass, pairName } from "./forward.js";
import { type GradientRun, type GradientRuns, gradientRuns } from "./gradients.js";
import type { DistillationNetworks, Student } from "./networks.js";
import { featureSetNamed } from "./student-checks.js";
import * as near from "./tolerances.js";

const number = z.looseObject({ value: z.number() });
const losses = z.record(z.string(), number);
const pair = z.looseObject({ student: z.string(), teacher: z.string(), value: z.number() });
const schema = z.looseObject({
  losses,
  variants: z.record(z.string(), losses),
  grad_norms: losses,
  parameters: z.int(),
  feature_sets: z.record(z.string(), z.object({ pairs: z.int(), sum: number, mean: z.number() })),
  pairs: z.record(z.string(), z.array(pair)),
});
type StepJson = z.infer<typeof schema>;

export async function stepChecks(set: DistillFolder, all: DistillationNetworks): Promise<Check[]> {
  const rows: Check[] = [];
  for (const id of studentIds(set, "step"))
    rows.push(...(await orFailingCheck(`step-${id}`, () => checksOf(set, all, id))));
  return rows;
}

async function checksOf(set: DistillFolder, all: DistillationNetworks, id: string): Promise<Check[]> {
  const owner = `step-${id}.json`;
  const file = (ending: string) => tensorsOf(set, `step-${id}${ending}.safetensors`, { owner });
  const read = lazy(async () => schema.parse(await json(set, owner)));
  const values = await file("");
  const student = lazy(() => all.student(id));
  const runs = lazy(async () => gradientRuns(await student(), all));
  const forward = lazy(async () => forwardPass(await student(), all, values.names));
  const row = (name: string, compute: Check["compute"], expected: Check["expected"]): Check => ({
    name: `step-${id}/${name}`,
    compute,
    expected,
  });
  const some = async (kind: RegExp, tolerance: (name: string) => Tolerance) => {
    const names = values.names.filter((name) => kind.test(name));
    return new Map(await tensorExpectations(values, names, tolerance));
  };
  const ofTotal = (
    name: string,
    ending: string,
    norm: string,
    select: (runs: GradientRuns) => Promise<GradientRun>,
  ) =>
    row(
      name,
      async () => everyGradient((await student()).layout, await select(await runs())),
      async () => {
        const expected = (await read()).grad_norms[norm]!.value;
        return expectedGradients((await student()).layout, await file(ending), expected);
      },
    );
  const terms = lazy(() => file(".grads-terms"));
  const inside = row(
    "activation-gradients",
    async () => (await forward()).tensors,
    () => some(/^activation_grad\//, () => near.gradient),
  );
  return [
    row(
      "outputs",
      async () => (await forward()).tensors,
      () => some(/^(?!activation_grad\/)/, outputTolerance),
    ),
    row(
      "losses",
      async () => lossesOf(await read(), await student(), await forward(), await runs()),
      async () => expectedLosses(await read()),
    ),
    ...(values.names.some((name) => name.startsWith("activation_grad/")) ? [inside] : []),
    ofTotal("gradients", ".grads", "total", (p) => p.total("koala")),
    ofTotal("gradients-sa", ".grads-sa", "total_sa", (p) => p.total("sa")),
    ofTotal("gradients-checkpointed", ".grads", "total", (p) => p.checkpointed()),
    row(
      "gradients-terms",
      async () => termGradients((await student()).layout, await read(), (await terms()).names, await runs()),
      async () => expectedTerms(await read(), await terms()),
    ),
  ];
}

function outputTolerance(name: string): Tolerance {
  if (name === "noisy") return near.noised;
  return name.startsWith("teacher_") ? near.teacherTensor : near.studentTensor;
}

const setOf = (name: string) => (name.endsWith("_sa") ? "sa" : "koala");
const perVariant = ["task", "out", "feat", "total"];

/** A feature term's mean over pairs is reported beside its sum, which is what enters the loss. */
async function lossesOf(
  golden: StepJson,
  student: Student,
  forward: Forward,
  runs: GradientRuns,
): Promise<Computed> {
  const computed = new Map<string, TensorData>();
  const put = (name: string, value: number | undefined) => {
    if (value !== undefined) computed.set(name, scalarData(value));
  };
  const [total, sa] = [await runs.total("koala"), await runs.total("sa")];
  const { feat_sa, feat_lf } = (await runs.term("feat")).losses;
  for (const name of perVariant) put(name, total.losses[name]);
  put("feat_sa", feat_sa);
  put("feat_lf", feat_lf);
  put("total_sa", sa.losses.total);
  put("feat_mean_over_pairs", total.losses.feat! / student.pairs("koala").length);
  put("feat_sa_mean_over_pairs", sa.losses.feat! / student.pairs("sa").length);
  for (const variant of Object.keys(golden.variants)) {
    const { losses: terms } = await runs.variant(variant);
    for (const name of perVariant) put(`${variant}: ${name}`, terms[name]);
  }
  for (const name of Object.keys(golden.pairs)) {
    const pairs = student.pairs(featureSetNamed(name)).map(pairName);
    const errors = pairs.map((pair) => forward.pairs.get(pair)!);
    for (const [i, error] of errors.entries()) put(`${name} ${i} ${pairs[i]}`, error);
    const sum = errors.reduce((a, b) => a + b, 0);
    put(`${name} (sum)`, sum);
    put(`${name} (mean)`, sum / pairs.length);
    put(`${name} (pairs)`, pairs.length);
  }
  return computed;
}

function expectedLosses({ losses, variants, pairs, feature_sets }: StepJson): Expectations {
  const loss = (name: string, value: number): [string, Expectation] => [name, near.lossExpectation(value)];
  return new Map([
    ...Object.entries(losses).map(([name, { value }]) => loss(name, value)),
    ...Object.entries(variants).flatMap(([variant, terms]) =>
      Object.entries(terms).flatMap(([name, { value }]) =>
        name === "total_grad_norm" ? [] : [loss(`${variant}: ${name}`, value)],
      ),
    ),
    ...Object.entries(pairs).flatMap(([name, rows]) =>
      rows.map((row, i) => loss(`${name} ${i} ${pairName(row)}`, row.value)),
    ),
    ...Object.entries(feature_sets).flatMap(([name, { pairs, sum, mean }]): [string, Expectation][] => [
      loss(`${name} (sum)`, sum.value),
      loss(`${name} (mean)`, mean),
      [`${name} (pairs)`, { tolerance: equal, numbers: scalarData(pairs) }],
    ]),
  ]);
}

const length = (parameters: ArrayLike<number>): number => {
  let sum = 0;
  for (let i = 0; i < parameters.length; i++) sum += parameters[i]! ** 2;
  return Math.sqrt(sum);
};

/** From the output backwards, where a gradient first goes wrong; then all as one vector, and its length. */
function everyGradient(layout: ParameterBuffer, { parameters }: GradientRun): Computed {
  const each = [...layout.slices]
    .reverse()
    .map(([name, { shape }]): [string, TensorData] => [name, { data: layout.view(parameters, name), shape }]);
  return new Map([
    ...each,
    ["(all)", tensorData(parameters)],
    ["(norm)", scalarData(length(parameters))],
    ["(count)", scalarData(each.length)],
  ]);
}

async function expectedGradients(
  layout: ParameterBuffer,
  file: GoldenFile,
  norm: number,
): Promise<Expectations> {
  const expected = new Map<string, Expectation>();
  const parameters = new Float32Array(layout.total);
  for (const name of file.names) {
    const numbers = await file.expected(name);
    expected.set(name, near.gradientExpectation(numbers, norm, near.gradient));
    if (layout.slices.has(name)) layout.view(parameters, name).set(numbers.data as Float32Array);
  }
  return expected
    .set("(all)", { tolerance: near.gradientVector, numbers: tensorData(parameters) })
    .set("(norm)", { tolerance: near.gradientNorm, numbers: scalarData(norm) })
    .set("(count)", { tolerance: equal, numbers: scalarData(file.names.length) });
}

/** Names in the file are TERM/PARAMETER. */
async function termGradients(
  layout: ParameterBuffer,
  golden: StepJson,
  names: readonly string[],
  runs: GradientRuns,
): Promise<Computed> {
  const computed = new Map<string, TensorData>();
  for (const name of names) {
    const term = name.slice(0, name.indexOf("/"));
    const parameter = name.slice(term.length + 1);
    const { parameters } = await runs.term(term);
    const { shape } = layout.slices.get(parameter) ?? { shape: [] };
    computed.set(name, { data: layout.view(parameters, parameter), shape });
  }
  for (const norm of Object.keys(golden.grad_norms)) {
    const run = await (norm.startsWith("total") ? runs.total(setOf(norm)) : runs.term(norm));
    computed.set(`(norm of ${norm})`, scalarData(length(run.parameters)));
  }
  for (const variant of Object.keys(golden.variants))
    computed.set(`(norm of ${variant})`, scalarData(length((await runs.variant(variant)).parameters)));
  return computed;
}

async function expectedTerms({ grad_norms, variants }: StepJson, file: GoldenFile): Promise<Expectations> {
  const expected = new Map<string, Expectation>();
  for (const name of file.names) {
    const norm = grad_norms[name.slice(0, name.indexOf("/"))]!.value;
    expected.set(name, near.gradientExpectation(await file.expected(name), norm, near.gradient));
  }
  const put = (name: string, value: number) =>
    expected.set(`(norm of ${name})`, { tolerance: near.gradientNorm, numbers: scalarData(value) });
  for (const [name, { value }] of Object.entries(grad_norms)) put(name, value);
  for (const [name, { total_grad_norm: norm }] of Object.entries(variants)) if (norm) put(name, norm.value);
  return expected;
}
