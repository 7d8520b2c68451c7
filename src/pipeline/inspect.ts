/** @file What a model folder, a weights file, an adapter or an embedding holds, and what is missing: no network's weights are read. */

import path from "node:path";
import { blockingEngine } from "../engine/ort/blocking-engine.js";
import { InvalidRequest, listed, ModelError } from "../errors.js";
import { kindOf } from "../files/file-system.js";
import { clipText } from "../models/clip.js";
import { input, param } from "../tensor/operations.js";
import { manifest, type Params } from "../tensor/params.js";
import { count } from "../tensor/tensor.js";
import { resolveWeights, type WeightSet } from "../weights/component.js";
import { bothHalves } from "./autoencoder.js";
import { checkWeightShapes } from "./component.js";
import { loadNetworks } from "./components.js";
import { type AdapterReport, inspectAdapter, metadataNotes } from "./inspect-adapter.js";
import { type EmbeddingReport, inspectEmbedding } from "./inspect-embedding.js";
import { openSingleFile, type SingleFileOptions } from "./single-file/open.js";
import { unetPrefix } from "./single-file/parts.js";

/** One component of a folder; `problem` says what is missing or does not fit, if anything. */
type ComponentReport = {
  component: string;
  tensors: number;
  parameters: number;
  dtypes: string;
  bytes: number;
  problem: string | undefined;
};

export type ModelReport = {
  kind: "model";
  title: string;
  components: readonly ComponentReport[];
  warnings: readonly string[];
  /** Of a single file: what it is and why, what was skipped, what it says of itself. */
  notes?: readonly string[];
};

/** What a path holds. */
export type InspectReport =
  | ModelReport
  | ({ kind: "adapter" } & AdapterReport)
  | ({ kind: "embedding" } & EmbeddingReport);

type InspectOptions = { variant?: string } & Pick<SingleFileOptions, "config" | "ema">;

/** Of whatever `inspectModel` takes, an adapter or a textual inversion; throws a ModelError if nothing there can be read. */
export async function inspectPath(at: string, options: InspectOptions = {}): Promise<InspectReport> {
  const addition = (await kindOf(at)) === "file" ? await inspectAddition(at) : undefined;
  if (!addition) return inspectModel(at, options);
  const [given] = Object.entries(options).filter(([, value]) => value !== undefined && value !== false);
  if (!given) return addition;
  const rule = `must be given with a model, got it with an ${addition.kind}. Leave it out.`;
  throw new InvalidRequest(given[0], given[1], rule);
}

async function inspectAddition(file: string): Promise<InspectReport | undefined> {
  const adapter = await inspectAdapter(file);
  if (adapter) return { kind: "adapter", ...adapter };
  const embedding = await inspectEmbedding(file);
  return embedding && { kind: "embedding", ...embedding };
}

/** Of a model folder, the folder of one component, or a file; throws a ModelError if nothing there can be read. */
export async function inspectModel(at: string, options: InspectOptions = {}): Promise<ModelReport> {
  const whole = (await kindOf(path.join(at, "model_index.json"))) === "file";
  if (!whole) {
    const kind = await kindOf(at);
    if (kind === undefined)
      throw new InvalidRequest("path", at, `must be a folder or a file, got "${at}", which does not exist.`);
    const single = kind === "file" ? await inspectSingle(at, options) : undefined;
    if (single) return single;
    const weights = await resolveWeights(at, options);
    const components = [report(path.basename(at), weights, undefined)];
    return { kind: "model", title: path.basename(at), components, warnings: [] };
  }
  const { folder, unet, vae, textEncoders, scheduler, warnings } = await loadNetworks(at, {
    engine: blockingEngine(),
    ...options,
  });
  const components = [
    ...textEncoders.map(({ component, config }) =>
      check(component.name, component.file, component.weights, (p) =>
        clipText(p, config, input("ids", [1, config.maxTokens], "int64")),
      ),
    ),
    check("unet", unet.component.file, unet.component.weights, unet.trace),
    check("vae", vae.component.file, vae.component.weights, bothHalves(vae)),
  ];
  return { kind: "model", title: `${folder.className} with ${scheduler.className}`, components, warnings };
}

/** A file of a whole model, by its names and shapes; undefined for a file of anything else. */
async function inspectSingle(at: string, options: InspectOptions): Promise<ModelReport | undefined> {
  const found = await resolveWeights(at);
  if (
    unetPrefix(found) === undefined ||
    !/^(first_stage_model|cond_stage_model|conditioner)\./m.test([...found.tensors.keys()].join("\n"))
  )
    return undefined;
  const source = await openSingleFile(at, options);
  const { family, reason, absent, skipped, notes, metadata } = source.file!;
  const components: ComponentReport[] = [];
  for (const { name, weights: read } of source.components.values()) {
    if (!/^(unet|vae|text_encoder(_2)?)$/.test(name)) continue;
    if (absent.has(name)) {
      const problem = `missing: the file has no ${absent.get(name)}`;
      components.push({ component: name, tensors: 0, parameters: 0, dtypes: "", bytes: 0, problem });
    } else components.push(report(name, await read(), undefined));
  }
  return {
    kind: "model",
    title: `${source.className} in a single file: ${family}`,
    components,
    warnings: [],
    notes: [
      `${family}: ${reason}`,
      ...notes,
      ...(skipped.known.length > 0
        ? [`${skipped.known.length} tensors of no use for generating: ${listed(skipped.known, 2)}`]
        : []),
      ...(skipped.unknown.length > 0
        ? [`${skipped.unknown.length} tensors of no part: ${listed(skipped.unknown, 2)}`]
        : []),
      ...metadataNotes(metadata),
    ],
  };
}

function check(
  name: string,
  file: string,
  weights: WeightSet,
  trace: (p: Params) => unknown,
): ComponentReport {
  const wanted = new Map([...manifest(trace)].map(([path, shape]) => [path, param(path, shape)]));
  try {
    const unexpected = checkWeightShapes(file, wanted, weights);
    return report(
      name,
      weights,
      unexpected.length > 0 ? `${unexpected.length} unused: ${listed(unexpected, 2)}` : undefined,
    );
  } catch (error) {
    if (error instanceof ModelError) return report(name, weights, error.message);
    throw error;
  }
}

function report(component: string, weights: WeightSet, problem: string | undefined): ComponentReport {
  const tensors = [...weights.tensors.values()];
  const dtypes = [...new Set(tensors.map((t) => t.dtype))].sort().join(" ");
  const parameters = tensors.filter((t) => /F/.test(t.dtype)).reduce((sum, t) => sum + count(t.shape), 0);
  return { component, tensors: tensors.length, parameters, dtypes, bytes: weights.totalBytes, problem };
}
