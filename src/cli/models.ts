/** @file `koala models`: the models downloaded from the Hub, listed, downloaded and removed. */

import { createInterface } from "node:readline/promises";
import { Command } from "commander";
import { byteSize } from "../byte-size.js";
import { InvalidRequest } from "../errors.js";
import { cachedName } from "../hub/cache.js";
import { type CachedModel, cachedModels, removal } from "../hub/inventory.js";
import { type HubModel, hubModel } from "../hub/name.js";
import { type ResolveOptions, resolveModel } from "../hub/resolve.js";
import { resolveComponent } from "../hub/resolve-component.js";
import type { ComponentKind } from "../hub/select.js";
import { cacheFolder } from "../hub/settings.js";
import type { SnapshotOptions } from "../hub/snapshot.js";
import type { Embedding } from "../pipeline/embeddings.js";
import type { Lora } from "../pipeline/lora.js";
import { type QuantizedFile, quantizedFiles, removeQuantized } from "../weights/quantized-cache.js";
import { dim } from "./colors.js";
import { textTable } from "./table.js";
import { ProgressBar, stopOnInterrupt } from "./terminal.js";

/** The command, to be mounted by the program. */
export function modelsCommand(): Command {
  const list = new Command("list")
    .description("List the models in the Hub's cache.")
    .option("--quantized", "the quantised weights instead, which --weights int8 made")
    .option("--json", "print JSON")
    .action(async ({ json, quantized }: { json?: boolean; quantized?: boolean }) => {
      const found = quantized ? await quantizedFiles() : await cachedModels(cacheFolder());
      const text = () =>
        quantized ? quantizedTable(found as QuantizedFile[]) : modelTable(found as CachedModel[]);
      process.stdout.write(json ? `${JSON.stringify(found, undefined, 2)}\n` : text());
    });
  const download = new Command("download")
    .description("Download what a pipeline needs of a model, and print its folder.")
    .argument("<id>", "owner/name[@revision] on the Hub")
    .option("--revision <name>", "branch, tag or commit (default: main)")
    .option("--variant <name>", "weight files to take, or plain (default: fp16 where a part has it)")
    .option("-q, --quiet", "no progress, no notes")
    .action(async (id: string, { quiet = false, ...options }: ResolveOptions & { quiet?: boolean }) => {
      process.stdout.write(`${await downloadModel(id, { ...options, quiet })}\n`);
    });
  const remove = new Command("remove")
    .description("Delete a model, or one revision of it, and what no other revision needs.")
    .argument("[id]", "owner/name[@revision], as listed")
    .option("--revision <name>", "only this branch, tag or commit")
    .option("--quantized", "all quantised weights instead, which are made anew when they are needed")
    .option("-y, --yes", "do not ask")
    .action(removeModel);
  const models = new Command("models")
    .description(
      "List, download and remove models in the Hub's cache, which Python's huggingface_hub shares.",
    )
    .addCommand(list, { isDefault: true })
    .addCommand(download)
    .addCommand(remove)
    .addHelpText("after", help);
  // A mounted command does not take this over from its parent.
  for (const command of models.commands) command.exitOverride();
  return models;
}

/** A model's folder, downloaded if need be, with a line of progress on stderr; Ctrl-C keeps what is there. */
export async function downloadModel(
  model: string,
  { quiet = false, ...options }: ResolveOptions & { quiet?: boolean } = {},
): Promise<string> {
  return withProgress(model, quiet, (shared) => resolveModel(model, { ...shared, ...options }));
}

/** The options that replace components of a model, or add LoRAs to it. */
export type ComponentOptions = {
  unet?: string;
  vae?: string;
  textEncoder?: string;
  textEncoder2?: string;
  safetyChecker?: string;
  /** Of a single file: another model's configs. */
  config?: string;
  lora?: Required<Lora>[];
  embedding?: Embedding[];
};

/** The same options with paths instead of names on the Hub, downloaded if need be as models are. */
export async function downloadComponents(
  { unet, vae, textEncoder, textEncoder2, safetyChecker, config, lora, embedding }: ComponentOptions,
  { quiet = false }: { quiet?: boolean } = {},
): Promise<ComponentOptions> {
  const part = (kind: ComponentKind, name: string) =>
    withProgress(name, quiet, (shared) =>
      resolveComponent(kind, name, { ...shared, field: `--${kind.replaceAll("_", "-")}` }),
    );
  const loras: Required<Lora>[] = [];
  for (const { file, scale } of lora ?? []) loras.push({ file: await part("lora", file), scale });
  const embeddings: Embedding[] = [];
  for (const { file, ...named } of embedding ?? [])
    embeddings.push({ ...named, file: await part("embedding", file) });
  return {
    ...(unet !== undefined && { unet: await part("unet", unet) }),
    ...(vae !== undefined && { vae: await part("vae", vae) }),
    ...(textEncoder !== undefined && { textEncoder: await part("text_encoder", textEncoder) }),
    ...(textEncoder2 !== undefined && { textEncoder2: await part("text_encoder_2", textEncoder2) }),
    ...(safetyChecker !== undefined && { safetyChecker: await part("safety_checker", safetyChecker) }),
    ...(config !== undefined && { config: await downloadModel(config, { quiet, configsOnly: true }) }),
    ...(lora !== undefined && { lora: loras }),
    ...(embedding !== undefined && { embedding: embeddings }),
  };
}

async function withProgress<T>(
  name: string,
  quiet: boolean,
  bring: (shared: SnapshotOptions) => Promise<T>,
): Promise<T> {
  const progress = new ProgressBar({ quiet, bytes: true });
  const say = (line: string) => void (quiet || process.stderr.write(`${line}\n`));
  const { signal, done } = stopOnInterrupt(() => say("stopping; what was downloaded is kept"));
  let first: { at: number; done: number } | undefined;
  try {
    return await bring({
      signal,
      onNote: (note) => say(dim(note)),
      onProgress: ({ done, total }) => {
        if (!first) {
          first = { at: performance.now(), done };
          progress.start(`downloading ${name}`, total);
        }
        // Bytes that an earlier run brought say nothing about the speed.
        const perByte = (performance.now() - first.at) / 1000 / (done - first.done);
        progress.step(done, done > first.done ? perByte * (total - done) : 0);
      },
    });
  } finally {
    progress.stop();
    done();
  }
}

/** What was quantised, by the network and the file that it is of; ends in a newline. */
function quantizedTable(files: readonly QuantizedFile[], now = new Date()): string {
  if (files.length === 0) return "Nothing was quantised yet. --weights int8 does it.\n";
  const columns = [
    { title: "network" },
    { title: "from" },
    { title: "size", numeric: true },
    { title: "last used", numeric: true },
  ];
  const rows = files.map(({ network, sources: [first = ""], bytes, lastUsed }) => [
    network,
    cachedName(first) ?? first,
    byteSize(bytes),
    ago(lastUsed, now),
  ]);
  return textTable(columns, rows);
}

/** One row per downloaded revision; ends in a newline. */
function modelTable(models: readonly CachedModel[], now = new Date()): string {
  if (models.length === 0)
    return "No models downloaded yet. Try: koala models download etri-vilab/koala-lightning-700m\n";
  const columns = [
    { title: "model" },
    { title: "revision" },
    { title: "size", numeric: true },
    { title: "pipeline" },
    { title: "last used", numeric: true },
    { title: "state" },
  ];
  const rows = models.map((model) => [
    model.id,
    revisionOf(model),
    byteSize(model.bytes),
    model.pipeline,
    model.lastUsed ? ago(model.lastUsed, now) : "",
    model.problem ?? "whole",
  ]);
  return textTable(columns, rows);
}

const revisionOf = ({ revisions, commit }: CachedModel): string =>
  [...revisions, commit.slice(0, 12)].join(" ");

/** "3 days ago" */
function ago(then: Date, now: Date): string {
  const minutes = Math.max(0, (now.getTime() - then.getTime()) / 60_000);
  const [count, unit] =
    minutes < 60 ? [minutes, "minute"] : minutes < 1440 ? [minutes / 60, "hour"] : [minutes / 1440, "day"];
  const whole = Math.floor(count);
  return whole === 0 ? "just now" : `${whole} ${unit}${whole === 1 ? "" : "s"} ago`;
}

async function removeModel(
  name: string | undefined,
  { revision, yes, quantized }: { revision?: string; yes?: boolean; quantized?: boolean },
): Promise<void> {
  if ((name === undefined) !== (quantized === true)) {
    const rule = "must be an id from the list, or --quantized alone for all quantised weights";
    throw new InvalidRequest("<id>", name, `${rule}, got ${name === undefined ? "neither" : "both"}.`);
  }
  if (name === undefined) return removeAllQuantized(yes);
  const chosen = chosenModel(name, revision);
  const { models, bytes, remove } = await removal(cacheFolder(), chosen.id, chosen.revision);
  const what = models.map((model) => `${model.id} ${revisionOf(model)}`).join(", ");
  if (!yes && !(await confirmed(`Remove ${what}, ${byteSize(bytes)}?`))) {
    process.stderr.write("nothing removed\n");
    return;
  }
  await remove();
  process.stderr.write(`removed ${what}; ${byteSize(bytes)} freed\n`);
}

async function removeAllQuantized(yes = false): Promise<void> {
  const bytes = (await quantizedFiles()).reduce((sum, file) => sum + file.bytes, 0);
  if (!yes && !(await confirmed(`Remove all quantised weights, ${byteSize(bytes)}?`)))
    process.stderr.write("nothing removed\n");
  else process.stderr.write(`removed all quantised weights; ${byteSize(await removeQuantized())} freed\n`);
}

/** No revision means all of them, not "main". */
function chosenModel(name: string, revision: string | undefined): { id: string; revision?: string } {
  const { id, revision: chosen }: HubModel = hubModel(name, revision);
  return revision === undefined && !name.includes("@") ? { id } : { id, revision: chosen };
}

async function confirmed(question: string): Promise<boolean> {
  if (!process.stdin.isTTY) {
    throw new InvalidRequest(
      "--yes",
      undefined,
      "must be given where nobody can be asked, got none. Add it.",
    );
  }
  const asking = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return /^y(es)?$/i.test((await asking.question(`${question} [y/N] `)).trim());
  } finally {
    asking.close();
  }
}

const help = `
The cache is $HF_HUB_CACHE, $HF_HOME/hub or ~/.cache/huggingface/hub; a model removed here is gone for Python too.
Quantised weights are in ~/.cache/koala-diffusion/weights ($XDG_CACHE_HOME): at most 20 GB, the last used.

Example:
  $ koala models download etri-vilab/koala-lightning-700m
  $ koala models
  $ koala models remove etri-vilab/koala-lightning-700m
`;
