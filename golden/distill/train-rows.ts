/** @file The rows of train-W.*: a row per variant, the averages, and everything after the plain run. */

import { emaDecay } from "../../src/train/ema.js";
import type { ParameterBuffer } from "../../src/train/parameter-buffer.js";
import type { GoldenFile } from "../read.js";
import {
  type Bound,
  type Computed,
  failing,
  type Golden,
  list,
  type Numbers,
  orFailing,
  type Row,
  type Wanted,
} from "../row.js";
import { equal } from "../tolerances.js";
import { camelCased, type DistillFolder, json, once, one, studentsWith, tensorsOf } from "./folder.js";
import type { Nets } from "./networks.js";
import * as near from "./tolerances.js";
import { type Trained, type TrainJson, trained, trainSchema } from "./train.js";

export async function trainRows(set: DistillFolder, all: Nets): Promise<Row[]> {
  const rows: Row[] = [];
  for (const which of studentsWith(set, "train"))
    rows.push(...(await orFailing(`train-${which}`, () => rowsOf(set, all, which))));
  return rows;
}

/** A file of the plain run's weights or averages: `kind` after `update` updates. */
type Snapshot = { readonly kind: "weights" | "ema"; readonly update: number; readonly file: GoldenFile };

async function rowsOf(set: DistillFolder, all: Nets, which: string): Promise<Row[]> {
  const owner = `train-${which}.json`;
  const golden = trainSchema.parse(await json(set, owner));
  const open = (ending: string) => tensorsOf(set, `train-${which}.${ending}.safetensors`, { owner });
  const some = await open("some");
  const last = golden.variants.get("plain")?.log.length ?? 0;
  const snapshots: Snapshot[] = [
    { kind: "weights", update: 1, file: await open("weights-step1") },
    { kind: "weights", update: last, file: await open(`weights-step${last}`) },
    { kind: "ema", update: last, file: await open(`ema-step${last}`) },
  ];
  const student = once(() => all.student(which));
  const rows = [...golden.variants.keys()].map((variant): Row => {
    const run = once(async () => trained(variant, golden, await student(), all));
    const mine = some.names.filter((name) => variantOf(name) === variant);
    const files = variant === "plain" ? snapshots : [];
    return {
      name: `train-${which}/${variant}`,
      compute: async () =>
        computedOf(variant, golden, (await student()).layout, await run(), { mine, files }),
      expected: async () => wantedOf(variant, golden, some, { mine, files }),
    };
  });
  const others = some.names.filter((name) => !golden.variants.has(variantOf(name)));
  if (others.length > 0)
    rows.push(failing(`train-${which}/(others)`, `this tool does not know what ${others[0]} is`));
  return [...rows, decayRow(which, golden)];
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
  const computed = new Map<string, Numbers>();
  for (const [i, { terms, totals, rate, norm, used }] of run.log.entries()) {
    const put = (name: string, ...values: number[]) => computed.set(`update ${i + 1}: ${name}`, list(values));
    for (const [name, value] of Object.entries(terms)) put(name, value);
    put("microbatch_totals", ...totals);
    put("lr", rate);
    put("grad_norm", norm);
    put("norm_before", norm);
    put("norm_after", Math.sqrt(used.reduce((sum, g) => sum + g * g, 0)));
  }
  for (const name of sumsOf(variant, golden)) {
    const parameters = parametersOf(name, run);
    computed.set(`(l2 of ${name})`, one(Math.sqrt(parameters.reduce((sum, x) => sum + x * x, 0))));
    computed.set(`(sum of ${name})`, one(parameters.reduce((sum, x) => sum + x, 0)));
  }
  const tensor = (parameters: Float32Array, place: string): Numbers => ({
    data: layout.view(parameters, place),
    shape: layout.slices.get(place)!.shape,
  });
  for (const { kind, update, file } of files) {
    const label = `${kind}-step${update}`;
    const parameters = kind === "ema" ? firstOf(run.averages) : run.log[update - 1]!.weights;
    const known = file.names.filter((name) => layout.slices.has(name));
    for (const name of known) computed.set(`${label} ${name}`, tensor(parameters, name));
    computed.set(`${label} (all)`, joined(known.map((name) => tensor(parameters, name))));
    computed.set(`${label} (count)`, one(layout.slices.size));
  }
  const parts = mine.map((name): [string, Numbers] => {
    const { parameters, place } = partOf(name, run);
    return [name, tensor(parameters, place)];
  });
  for (const [name, numbers] of parts) computed.set(name, numbers);
  for (const group of groupsOf(mine))
    computed.set(`${group} (all)`, joined(parts.filter(([n]) => groupOf(n) === group).map(([, x]) => x)));
  return computed;
}

async function wantedOf(
  variant: string,
  golden: TrainJson,
  some: GoldenFile,
  { mine, files }: Files,
): Promise<Golden> {
  const wanted = new Map<string, Wanted>();
  const put = (name: string, bound: Bound, ...values: number[]) =>
    wanted.set(name, { bound, numbers: list(values) });
  for (const [i, row] of golden.variants.get(variant)!.log.entries()) {
    const at = `update ${i + 1}: `;
    const lossOf = ({ floor }: { floor?: number | undefined }) =>
      i === 0 ? near.eachLoss : near.laterLoss(floor ?? 0);
    for (const name of ["task", "out", "feat", "total"] as const)
      wanted.set(at + name, near.wantedLoss(row[name].value, lossOf(row[name])));
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
    const bound = kind === "weights" && update === 1 ? near.weightsAfter1 : near.weightsLater;
    const each = await Promise.all(file.names.map((name) => file.expected(name)));
    for (const [i, numbers] of each.entries())
      wanted.set(`${label} ${file.names[i]}`, { bound: near.weightAtWorst, numbers });
    wanted.set(`${label} (all)`, { bound, numbers: joined(each) });
    put(`${label} (count)`, equal, each.length);
  }
  for (const name of mine) wanted.set(name, { bound: boundOf(name), numbers: await some.expected(name) });
  for (const group of groupsOf(mine)) {
    const each = mine.filter((name) => groupOf(name) === group).map((name) => wanted.get(name)!.numbers!);
    wanted.set(`${group} (all)`, { bound: near.weightsLater, numbers: joined(each) });
  }
  return wanted;
}

/** Tensors of weights are judged together as well. */
const groupOf = (name: string): string => name.split("/").slice(0, 2).join("/");
const groupsOf = (names: readonly string[]): string[] => [
  ...new Set(names.map(groupOf).filter((group) => /^ema\/|\/weights$/.test(group))),
];

function boundOf(name: string): Bound {
  if (name.startsWith("exp_avg")) return near.moment;
  if (/\/grad_step1\//.test(name)) return near.gradient;
  if (/\/grad_last\//.test(name)) return near.lastGradient;
  return /\/grad_/.test(name) ? near.laterGradient : near.weightAtWorst;
}

/** exp_avg/P, exp_avg_sq/P, ema/SETTING/P, VARIANT/weights/P, VARIANT/grad_stepN/P, VARIANT/grad_last/P. */
function partOf(
  name: string,
  { log, state, averages }: Trained,
): { parameters: Float32Array; place: string } {
  const [first, second, ...rest] = name.split("/") as [string, string, ...string[]];
  if (first === "exp_avg") return { parameters: state.mean, place: second };
  if (first === "exp_avg_sq") return { parameters: state.square, place: second };
  const place = rest.join("/");
  if (first === "ema") return { parameters: averages.get(second)!, place };
  if (second === "weights") return { parameters: state.weights, place };
  if (second === "grad_last") return { parameters: log.at(-1)!.used, place };
  const step = Number(/^grad_step(\d+)$/.exec(second)?.[1] ?? unknown(name));
  return { parameters: log[step - 1]!.used, place };
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

const joined = (parts: readonly Numbers[]): Numbers => {
  const all = new Float32Array(parts.reduce((sum, { data }) => sum + data.length, 0));
  let at = 0;
  for (const { data } of parts) {
    all.set(data as Float32Array, at);
    at += data.length;
  }
  return list(all);
};

function decayRow(which: string, { ema: { settings, decay_used_at_step: decays } }: TrainJson): Row {
  return {
    name: `train-${which}/ema-decays`,
    compute: async () =>
      new Map(
        Object.entries(decays).map(([name, { length }]) => [
          name,
          list(
            Array.from({ length }, (_, i) => emaDecay(i + 1, camelCased(settings[name] ?? unknown(name)))),
          ),
        ]),
      ),
    expected: async () =>
      new Map(Object.entries(decays).map(([name, d]) => [name, { bound: near.decay, numbers: list(d) }])),
  };
}
