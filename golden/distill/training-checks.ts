/** @file The rows of train-W.*: a row per variant, the averages, and everything after the plain run. */

import { emaDecay } from "../../src/train/ema.js";
import type { ParameterBuffer } from "../../src/train/parameter-buffer.js";
import {
  type Check,
  type Computed,
  type Expectation,
  type Expectations,
  failingCheck,
  orFailingCheck,
  type TensorData,
  type Tolerance,
  tensorData,
} from "../conformance/check.js";
import type { GoldenFile } from "../conformance/golden-file.js";
import { equal } from "../conformance/tolerances.js";
import { camelCased, type DistillFolder, json, lazy, scalarData, studentIds, tensorsOf } from "./folder.js";
import type { DistillationNetworks } from "./networks.js";
import * as near from "./tolerances.js";
import { type Trained, type TrainJson, trained, trainSchema } from "./training-run.js";

export async function trainingChecks(set: DistillFolder, all: DistillationNetworks): Promise<Check[]> {
  const rows: Check[] = [];
  for (const id of studentIds(set, "train"))
    rows.push(...(await orFailingCheck(`train-${id}`, () => checksOf(set, all, id))));
  return rows;
}

/** A file of the plain run's weights or averages: `kind` after `update` updates. */
type Snapshot = { readonly kind: "weights" | "ema"; readonly update: number; readonly file: GoldenFile };

async function checksOf(set: DistillFolder, all: DistillationNetworks, id: string): Promise<Check[]> {
  const owner = `train-${id}.json`;
  const golden = trainSchema.parse(await json(set, owner));
  const open = (ending: string) => tensorsOf(set, `train-${id}.${ending}.safetensors`, { owner });
  const some = await open("some");
  const last = golden.variants.get("plain")?.log.length ?? 0;
  const snapshots: Snapshot[] = [
    { kind: "weights", update: 1, file: await open("weights-step1") },
    { kind: "weights", update: last, file: await open(`weights-step${last}`) },
    { kind: "ema", update: last, file: await open(`ema-step${last}`) },
  ];
  const student = lazy(() => all.student(id));
  const rows = [...golden.variants.keys()].map((variant): Check => {
    const run = lazy(async () => trained(variant, golden, await student(), all));
    const mine = some.names.filter((name) => variantOf(name) === variant);
    const files = variant === "plain" ? snapshots : [];
    return {
      name: `train-${id}/${variant}`,
      compute: async () =>
        computedOf(variant, golden, (await student()).layout, await run(), { mine, files }),
      expected: async () => trainingExpectations(variant, golden, some, { mine, files }),
    };
  });
  const others = some.names.filter((name) => !golden.variants.has(variantOf(name)));
  if (others.length > 0)
    rows.push(failingCheck(`train-${id}/(others)`, `this tool does not know what ${others[0]} is`));
  return [...rows, emaDecayCheck(id, golden)];
}

/** The run that a tensor of `train-W.some` is of: moments and averages are the plain one's. */
const variantOf = (name: string): string => {
  const [first] = name.split("/") as [string];
  return ["exp_avg", "exp_avg_sq", "ema"].includes(first) ? "plain" : first;
};

type Files = { readonly mine: readonly string[]; readonly files: readonly Snapshot[] };

/** Names of the weights' sums in the JSON: after the run, and on the way of the plain one. */
const sumsOf = (variant: string, golden: TrainJson): string[] => {
  const own = (name: string) => (golden.variants.has(name) ? name : "plain");
  return Object.keys(golden.weights).filter((name) => own(name) === variant);
};

function computedOf(
  variant: string,
  golden: TrainJson,
  layout: ParameterBuffer,
  run: Trained,
  { mine, files }: Files,
): Computed {
  const computed = new Map<string, TensorData>();
  for (const [i, { terms, totals, rate, norm, used }] of run.log.entries()) {
    const put = (name: string, ...values: number[]) =>
      computed.set(`update ${i + 1}: ${name}`, tensorData(values));
    for (const [name, value] of Object.entries(terms)) put(name, value);
    put("microbatch_totals", ...totals);
    put("lr", rate);
    put("grad_norm", norm);
    put("norm_before", norm);
    put("norm_after", Math.sqrt(used.reduce((sum, g) => sum + g * g, 0)));
  }
  for (const name of sumsOf(variant, golden)) {
    const parameters = parametersOf(name, run);
    computed.set(`(l2 of ${name})`, scalarData(Math.sqrt(parameters.reduce((sum, x) => sum + x * x, 0))));
    computed.set(`(sum of ${name})`, scalarData(parameters.reduce((sum, x) => sum + x, 0)));
  }
  const tensor = (parameters: Float32Array, parameter: string): TensorData => ({
    data: layout.view(parameters, parameter),
    shape: layout.slices.get(parameter)!.shape,
  });
  for (const { kind, update, file } of files) {
    const label = `${kind}-step${update}`;
    const parameters = kind === "ema" ? firstOf(run.averages) : run.log[update - 1]!.weights;
    const known = file.names.filter((name) => layout.slices.has(name));
    for (const name of known) computed.set(`${label} ${name}`, tensor(parameters, name));
    computed.set(`${label} (all)`, joined(known.map((name) => tensor(parameters, name))));
    computed.set(`${label} (count)`, scalarData(layout.slices.size));
  }
  const parts = mine.map((name): [string, TensorData] => {
    const { parameters, parameter } = partOf(name, run);
    return [name, tensor(parameters, parameter)];
  });
  for (const [name, numbers] of parts) computed.set(name, numbers);
  for (const group of groupsOf(mine))
    computed.set(`${group} (all)`, joined(parts.filter(([n]) => groupOf(n) === group).map(([, x]) => x)));
  return computed;
}

async function trainingExpectations(
  variant: string,
  golden: TrainJson,
  some: GoldenFile,
  { mine, files }: Files,
): Promise<Expectations> {
  const expected = new Map<string, Expectation>();
  const put = (name: string, tolerance: Tolerance, ...values: number[]) =>
    expected.set(name, { tolerance, numbers: tensorData(values) });
  for (const [i, row] of golden.variants.get(variant)!.log.entries()) {
    const at = `update ${i + 1}: `;
    const lossOf = ({ floor }: { floor?: number | undefined }) =>
      i === 0 ? near.eachLoss : near.laterLoss(floor ?? 0);
    for (const name of ["task", "out", "feat", "total"] as const)
      expected.set(at + name, near.lossExpectation(row[name].value, lossOf(row[name])));
    if (row.microbatch_totals) put(`${at}microbatch_totals`, lossOf(row.total), ...row.microbatch_totals);
    put(`${at}lr`, near.rate, row.lr);
    for (const name of ["grad_norm", "norm_before", "norm_after"] as const)
      if (row[name]) put(at + name, near.laterGradientNorm, row[name].value);
  }
  for (const name of sumsOf(variant, golden)) {
    put(`(l2 of ${name})`, near.weightSum, golden.weights[name]!.l2);
    put(`(sum of ${name})`, near.weightSum, golden.weights[name]!.sum);
  }
  for (const { kind, update, file } of files) {
    const label = `${kind}-step${update}`;
    const tolerance = kind === "weights" && update === 1 ? near.weightsAfter1 : near.weightsLater;
    const each = await Promise.all(file.names.map((name) => file.expected(name)));
    for (const [i, numbers] of each.entries())
      expected.set(`${label} ${file.names[i]}`, { tolerance: near.weightAtWorst, numbers });
    expected.set(`${label} (all)`, { tolerance, numbers: joined(each) });
    put(`${label} (count)`, equal, each.length);
  }
  for (const name of mine)
    expected.set(name, { tolerance: toleranceOf(name), numbers: await some.expected(name) });
  for (const group of groupsOf(mine)) {
    const each = mine.filter((name) => groupOf(name) === group).map((name) => expected.get(name)!.numbers!);
    expected.set(`${group} (all)`, { tolerance: near.weightsLater, numbers: joined(each) });
  }
  return expected;
}

/** Tensors of weights are judged together as well. */
const groupOf = (name: string): string => name.split("/").slice(0, 2).join("/");
const groupsOf = (names: readonly string[]): string[] => [
  ...new Set(names.map(groupOf).filter((group) => /^ema\/|\/weights$/.test(group))),
];

function toleranceOf(name: string): Tolerance {
  if (name.startsWith("exp_avg")) return near.moment;
  if (/\/grad_step1\//.test(name)) return near.gradient;
  if (/\/grad_last\//.test(name)) return near.lastGradient;
  return /\/grad_/.test(name) ? near.laterGradient : near.weightAtWorst;
}

/** exp_avg/P, exp_avg_sq/P, ema/SETTING/P, VARIANT/weights/P, VARIANT/grad_stepN/P, VARIANT/grad_last/P. */
function partOf(
  name: string,
  { log, state, averages }: Trained,
): { parameters: Float32Array; parameter: string } {
  const [first, second, ...rest] = name.split("/") as [string, string, ...string[]];
  if (first === "exp_avg") return { parameters: state.mean, parameter: second };
  if (first === "exp_avg_sq") return { parameters: state.square, parameter: second };
  const parameter = rest.join("/");
  if (first === "ema") return { parameters: averages.get(second)!, parameter };
  if (second === "weights") return { parameters: state.weights, parameter };
  if (second === "grad_last") return { parameters: log.at(-1)!.used, parameter };
  const step = Number(/^grad_step(\d+)$/.exec(second)?.[1] ?? unknown(name));
  return { parameters: log[step - 1]!.used, parameter };
}

function parametersOf(name: string, { log, initial, state, averages }: Trained): Float32Array {
  const [, kind, update] = /^(|ema_)step(\d+)$/.exec(name) ?? [];
  if (update === undefined) return state.weights;
  if (kind === "ema_") return firstOf(averages);
  return update === "0" ? initial : (log[Number(update) - 1]?.weights ?? unknown(name));
}

/** The setting whose average is stored in full. */
const firstOf = (averages: ReadonlyMap<string, Float32Array>) => averages.values().next().value!;

function unknown(name: string): never {
  throw new Error(`this tool does not know what ${name} is`);
}

const joined = (parts: readonly TensorData[]): TensorData => {
  const all = new Float32Array(parts.reduce((sum, { data }) => sum + data.length, 0));
  let at = 0;
  for (const { data } of parts) {
    all.set(data as Float32Array, at);
    at += data.length;
  }
  return tensorData(all);
};

function emaDecayCheck(id: string, { ema: { settings, decay_used_at_step: decays } }: TrainJson): Check {
  return {
    name: `train-${id}/ema-decays`,
    compute: async () =>
      new Map(
        Object.entries(decays).map(([name, { length }]) => [
          name,
          tensorData(
            Array.from({ length }, (_, i) => emaDecay(i + 1, camelCased(settings[name] ?? unknown(name)))),
          ),
        ]),
      ),
    expected: async () =>
      new Map(
        Object.entries(decays).map(([name, d]) => [name, { tolerance: near.decay, numbers: tensorData(d) }]),
      ),
  };
}
