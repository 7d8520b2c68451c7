/** @file step-W.*: the rows of one step. */

import { z } from "zod";
import type { ParameterBuffer } from "../../src/train/parameter-buffer.js";
import type { GoldenFile } from "../read.js";
import {
  type Bound,
  type Computed,
  type Golden,
  list,
  type Numbers,
  orFailing,
  type Row,
  type Wanted,
} from "../row.js";
import { equal } from "../tolerances.js";
import { type DistillFolder, json, once, one, studentsWith, tensorsOf, wantedTensors } from "./folder.js";
import { type Forward, forwardPass, pairName } from "./forward.js";
import { type Pulled, type Puller, puller } from "./gradients.js";
import type { Nets, Student } from "./networks.js";
import { setNamed } from "./student.js";
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

export async function stepRows(set: DistillFolder, all: Nets): Promise<Row[]> {
  const rows: Row[] = [];
  for (const which of studentsWith(set, "step"))
    rows.push(...(await orFailing(`step-${which}`, () => rowsOf(set, all, which))));
  return rows;
}

async function rowsOf(set: DistillFolder, all: Nets, which: string): Promise<Row[]> {
  const owner = `step-${which}.json`;
  const file = (ending: string) => tensorsOf(set, `step-${which}${ending}.safetensors`, { owner });
  const read = once(async () => schema.parse(await json(set, owner)));
  const values = await file("");
  const student = once(() => all.student(which));
  const pull = once(async () => puller(await student(), all));
  const forward = once(async () => forwardPass(await student(), all, values.names));
  const row = (name: string, compute: Row["compute"], expected: Row["expected"]): Row => ({
    name: `step-${which}/${name}`,
    compute,
    expected,
  });
  const some = async (kind: RegExp, bound: (name: string) => Bound) => {
    const names = values.names.filter((name) => kind.test(name));
    return new Map(await wantedTensors(values, names, bound));
  };
  const ofTotal = (name: string, ending: string, norm: string, pulled: (p: Puller) => Promise<Pulled>) =>
    row(
      name,
      async () => everyGradient((await student()).layout, await pulled(await pull())),
      async () => {
        const wanted = (await read()).grad_norms[norm]!.value;
        return wantedGradients((await student()).layout, await file(ending), wanted);
      },
    );
  const terms = once(() => file(".grads-terms"));
  const inside = row(
    "activation-gradients",
    async () => (await forward()).tensors,
    () => some(/^activation_grad\//, () => near.gradient),
  );
  return [
    row(
      "outputs",
      async () => (await forward()).tensors,
      () => some(/^(?!activation_grad\/)/, outputBound),
    ),
    row(
      "losses",
      async () => lossesOf(await read(), await student(), await forward(), await pull()),
      async () => wantedLosses(await read()),
    ),
    ...(values.names.some((name) => name.startsWith("activation_grad/")) ? [inside] : []),
    ofTotal("gradients", ".grads", "total", (p) => p.total("koala")),
    ofTotal("gradients-sa", ".grads-sa", "total_sa", (p) => p.total("sa")),
    ofTotal("gradients-checkpointed", ".grads", "total", (p) => p.checkpointed()),
    row(
      "gradients-terms",
      async () => termGradients((await student()).layout, await read(), (await terms()).names, await pull()),
      async () => wantedTerms(await read(), await terms()),
    ),
  ];
}

function outputBound(name: string): Bound {
  if (name === "noisy") return near.noised;
  return name.startsWith("teacher_") ? near.teacherTensor : near.studentTensor;
}

const setOf = (name: string) => (name.endsWith("_sa") ? "sa" : "koala");
const perVariant = ["task", "out", "feat", "total"];

/** A feature term's mean over pairs is told beside its sum, which is what counts. */
async function lossesOf(
  golden: StepJson,
  student: Student,
  forward: Forward,
  pull: Puller,
): Promise<Computed> {
  const computed = new Map<string, Numbers>();
  const put = (name: string, value: number | undefined) => {
    if (value !== undefined) computed.set(name, one(value));
  };
  const [total, sa] = [await pull.total("koala"), await pull.total("sa")];
  const { feat_sa, feat_lf } = (await pull.term("feat")).terms;
  for (const name of perVariant) put(name, total.terms[name]);
  put("feat_sa", feat_sa);
  put("feat_lf", feat_lf);
  put("total_sa", sa.terms.total);
  put("feat_mean_over_pairs", total.terms.feat! / student.pairs("koala").length);
  put("feat_sa_mean_over_pairs", sa.terms.feat! / student.pairs("sa").length);
  for (const variant of Object.keys(golden.variants)) {
    const { terms } = await pull.variant(variant);
    for (const name of perVariant) put(`${variant}: ${name}`, terms[name]);
  }
  for (const name of Object.keys(golden.pairs)) {
    const pairs = student.pairs(setNamed(name)).map(pairName);
    const errors = pairs.map((pair) => forward.pairs.get(pair)!);
    for (const [i, error] of errors.entries()) put(`${name} ${i} ${pairs[i]}`, error);
    const sum = errors.reduce((a, b) => a + b, 0);
    put(`${name} (sum)`, sum);
    put(`${name} (mean)`, sum / pairs.length);
    put(`${name} (pairs)`, pairs.length);
  }
  return computed;
}

function wantedLosses({ losses, variants, pairs, feature_sets }: StepJson): Golden {
  const loss = (name: string, value: number): [string, Wanted] => [name, near.wantedLoss(value)];
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
    ...Object.entries(feature_sets).flatMap(([name, { pairs, sum, mean }]): [string, Wanted][] => [
      loss(`${name} (sum)`, sum.value),
      loss(`${name} (mean)`, mean),
      [`${name} (pairs)`, { bound: equal, numbers: one(pairs) }],
    ]),
  ]);
}

const length = (parameters: ArrayLike<number>): number => {
  let sum = 0;
  for (let i = 0; i < parameters.length; i++) sum += parameters[i]! ** 2;
  return Math.sqrt(sum);
};

/** From the output backwards, where a gradient first goes wrong; then all as one vector, and its length. */
function everyGradient(layout: ParameterBuffer, { parameters }: Pulled): Computed {
  const each = [...layout.slices]
    .reverse()
    .map(([name, { shape }]): [string, Numbers] => [name, { data: layout.view(parameters, name), shape }]);
  return new Map([
    ...each,
    ["(all)", list(parameters)],
    ["(norm)", one(length(parameters))],
    ["(count)", one(each.length)],
  ]);
}

async function wantedGradients(layout: ParameterBuffer, file: GoldenFile, norm: number): Promise<Golden> {
  const wanted = new Map<string, Wanted>();
  const parameters = new Float32Array(layout.total);
  for (const name of file.names) {
    const numbers = await file.expected(name);
    wanted.set(name, near.wantedGradient(numbers, norm, near.gradient));
    if (layout.slices.has(name)) layout.view(parameters, name).set(numbers.data as Float32Array);
  }
  return wanted
    .set("(all)", { bound: near.gradientVector, numbers: list(parameters) })
    .set("(norm)", { bound: near.gradientNorm, numbers: one(norm) })
    .set("(count)", { bound: equal, numbers: one(file.names.length) });
}

/** Names in the file are TERM/PARAMETER. */
async function termGradients(
  layout: ParameterBuffer,
  golden: StepJson,
  names: readonly string[],
  pull: Puller,
): Promise<Computed> {
  const computed = new Map<string, Numbers>();
  for (const name of names) {
    const term = name.slice(0, name.indexOf("/"));
    const place = name.slice(term.length + 1);
    const { parameters } = await pull.term(term);
    const { shape } = layout.slices.get(place) ?? { shape: [] };
    computed.set(name, { data: layout.view(parameters, place), shape });
  }
  for (const norm of Object.keys(golden.grad_norms)) {
    const pulled = await (norm.startsWith("total") ? pull.total(setOf(norm)) : pull.term(norm));
    computed.set(`(norm of ${norm})`, one(length(pulled.parameters)));
  }
  for (const variant of Object.keys(golden.variants))
    computed.set(`(norm of ${variant})`, one(length((await pull.variant(variant)).parameters)));
  return computed;
}

async function wantedTerms({ grad_norms, variants }: StepJson, file: GoldenFile): Promise<Golden> {
  const wanted = new Map<string, Wanted>();
  for (const name of file.names) {
    const norm = grad_norms[name.slice(0, name.indexOf("/"))]!.value;
    wanted.set(name, near.wantedGradient(await file.expected(name), norm, near.gradient));
  }
  const put = (name: string, value: number) =>
    wanted.set(`(norm of ${name})`, { bound: near.gradientNorm, numbers: one(value) });
  for (const [name, { value }] of Object.entries(grad_norms)) put(name, value);
  for (const [name, { total_grad_norm: norm }] of Object.entries(variants)) if (norm) put(name, norm.value);
  return wanted;
}
