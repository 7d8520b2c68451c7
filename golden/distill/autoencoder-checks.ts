/** @file vae-kl.* and vae-tiny.*: one step of an autoencoder. */

import path from "node:path";
import { z } from "zod";
import type { Values } from "../../src/engine/engine.js";
import { tinyVaeConfig } from "../../src/models/tiny-vae.js";
import { vaeConfig } from "../../src/models/vae.js";
import type { Tensor } from "../../src/tensor/tensor.js";
import {
  type ImageBatchSize,
  klAutoencoderLoss,
  tinyAutoencoderLoss,
} from "../../src/train/autoencoder-loss.js";
import { layoutOf, type TracedLoss, wholeProgram } from "../../src/train/gradient-program.js";
import type { ParameterBuffer } from "../../src/train/parameter-buffer.js";
import { readFloats, resolveWeights } from "../../src/weights/component.js";
import {
  type Check,
  type Computed,
  type Expectation,
  type Expectations,
  orFailingCheck,
  type TensorData,
  tensorData,
} from "../conformance/check.js";
import { floatInput, type GoldenFile } from "../conformance/golden-file.js";
import { type DistillFolder, json, lazy, requireFile, scalarData, tensorsOf } from "./folder.js";
import * as near from "./tolerances.js";

const number = z.looseObject({ value: z.number() });
const schema = z.looseObject({
  loss: z.string(),
  losses: z.record(z.string(), number),
  grad_norm: number,
});
type AutoencoderJson = z.infer<typeof schema>;

/** The trace of an image's size; every loss that golden gradients are of, and values by name. */
type Traced = {
  loss: TracedLoss;
  /** By the prefix of its gradients' names. */
  gradientsOf: Readonly<Record<string, Tensor>>;
  values: Readonly<Record<string, Tensor>>;
};
type Kind = (config: unknown, size: ImageBatchSize, golden: AutoencoderJson) => Traced;

const kinds: Readonly<Record<string, Kind>> = {
  "vae-kl": (config, size, golden) => {
    const [, weight] = /^mse\(decode\(z\), image\) \+ ([\d.e-]+) \* kl$/.exec(golden.loss) ?? [];
    if (weight === undefined) throw new Error(`the conformance tool has no loss such as "${golden.loss}"`);
    const loss = klAutoencoderLoss(vaeConfig(config), size, { klWeight: Number(weight) });
    const { moments, latent, reconstruction, outputs } = loss;
    const gradientsOf = { grad: outputs.total, grad_kl: outputs.kl! };
    return { loss, gradientsOf, values: { moments, latent, reconstruction } };
  },
  "vae-tiny": (config, size) => {
    const loss = tinyAutoencoderLoss(tinyVaeConfig(config), size);
    const { latent, reconstruction, outputs } = loss;
    return { loss, gradientsOf: { grad: outputs.total }, values: { latent, reconstruction } };
  },
};

export async function autoencoderChecks(set: DistillFolder): Promise<Check[]> {
  const rows: Check[] = [];
  for (const [name, kind] of Object.entries(kinds)) {
    if (set.names.includes(`${name}.json`))
      rows.push(...(await orFailingCheck(name, async () => [await checkOf(set, name, kind)])));
  }
  return rows;
}

async function checkOf(set: DistillFolder, name: string, kind: Kind): Promise<Check> {
  const owner = `${name}.json`;
  const isInput = (tensor: string) => ["image", "eps"].includes(tensor);
  const file = await tensorsOf(set, `${name}.safetensors`, { owner, isInput });
  const golden = lazy(async () => schema.parse(await json(set, owner)));
  return {
    name,
    compute: async () => computed(set, name, kind, await golden(), file),
    expected: async () => expected(await golden(), file, isInput),
  };
}

async function computed(
  set: DistillFolder,
  name: string,
  kind: Kind,
  golden: AutoencoderJson,
  file: GoldenFile,
): Promise<Computed> {
  await requireFile(set, name, `${name}.json`);
  const image = await floatInput(file, "image");
  const [batch, , height, width] = image.shape as [number, number, number, number];
  const { loss, gradientsOf, values } = kind(
    await json(set, `${name}/config.json`),
    { batch, height, width },
    golden,
  );
  const inputs: Record<string, Values> = { image };
  if (file.names.includes("eps")) inputs.eps = await floatInput(file, "eps");
  const layout = layoutOf(loss);
  const weights = new Float32Array(layout.total);
  const stored = await resolveWeights(path.join(set.folder, name));
  for (const parameter of layout.slices.keys())
    layout.view(weights, parameter).set(await readFloats(stored, parameter));

  const found = new Map<string, TensorData>();
  for (const [prefix, total] of Object.entries(gradientsOf)) {
    // The first loss has all values; another is differentiated by itself.
    const first = total === loss.outputs.total;
    const outputs = first ? { ...loss.outputs, ...values } : { total };
    const engine = await set.context.openBlocking();
    const program = await wholeProgram(engine, { params: loss.params, outputs }, layout);
    const parameters = new Float32Array(layout.total);
    const given = first ? inputs : { image };
    const terms = await program.run(weights, given, parameters);
    await program.release();
    if (first) {
      for (const [term, { shape }] of Object.entries(values))
        found.set(term, tensorData(terms[term]!, ...shape));
      for (const term of Object.keys(loss.outputs)) found.set(`(${term})`, scalarData(terms[term]![0]!));
    }
    for (const [parameter, numbers] of gradientsFrom(layout, parameters))
      found.set(`${prefix}/${parameter}`, numbers);
    found.set(`(norm of ${prefix})`, scalarData(Math.sqrt(squares(parameters))));
  }
  return found;
}

/** From the output backwards. */
const gradientsFrom = (layout: ParameterBuffer, parameters: Float32Array): [string, TensorData][] =>
  [...layout.slices]
    .reverse()
    .map(([parameter, { shape }]) => [parameter, { data: layout.view(parameters, parameter), shape }]);

async function expected(
  golden: AutoencoderJson,
  file: GoldenFile,
  isInput: (tensor: string) => boolean,
): Promise<Expectations> {
  const tensors = new Map<string, TensorData>();
  for (const name of file.names.filter((name) => !isInput(name)))
    tensors.set(name, await file.expected(name));
  const prefixOf = (name: string) => name.slice(0, name.indexOf("/") + 1);
  const length = (prefix: string) => {
    const mine = [...tensors].filter(([name]) => prefixOf(name) === prefix);
    return Math.sqrt(mine.reduce((sum, [, { data }]) => sum + squares(data as Float32Array), 0));
  };
  const lengths = new Map([...new Set([...tensors.keys()].map(prefixOf))].map((p) => [p, length(p)]));
  const all = new Map<string, Expectation>();
  for (const [name, numbers] of tensors) {
    const prefix = prefixOf(name);
    const expected = near.gradientExpectation(numbers, lengths.get(prefix)!, near.autoencoderGradient);
    all.set(name, prefix === "" ? { tolerance: near.autoencoderTensor, numbers } : expected);
  }
  for (const [term, { value }] of Object.entries(golden.losses))
    all.set(`(${term})`, near.lossExpectation(value));
  const norm = { tolerance: near.gradientNorm, numbers: scalarData(golden.grad_norm.value) };
  return all.set("(norm of grad)", norm);
}

const squares = (numbers: Float32Array): number => numbers.reduce((sum, x) => sum + x * x, 0);
