/** @file Writes a model as a diffusers folder: model_index.json, configs, tokenizers, and weights, in shards if asked for. */

import path from "node:path";
import { copyFile, kindOf, makeFolder, readdir, writeFile } from "../../files/file-system.js";
import type { JsonObject } from "../../files/json.js";
import { count } from "../../tensor/tensor.js";
import { dtypeSizes } from "../../weights/dtype.js";
import { licenseFiles } from "../../weights/folder.js";
import { writeSafetensors } from "../../weights/safetensors-file.js";
import type { Networks } from "../components.js";
import { type OutgoingNetwork, type OutgoingTensor, tensorSource } from "./tensors.js";

export type FolderOptions = { onRead: (bytes: number) => void; shardBytes: number | undefined };

/** Fields that Transformers 5 refuses as whole numbers, and that JavaScript writes so. */
const floatFields =
  /"(attention_dropout|dropout|initializer_factor|initializer_range|layer_norm_eps)": (\d+)(?=[,\n])/g;

const json = (file: string, value: JsonObject) =>
  writeFile(file, `${JSON.stringify(value, undefined, 2).replace(floatFields, '"$1": $2.0')}\n`);

/** Writes the whole folder into `output`, which exists. */
export async function writeFolder(
  components: Networks,
  networks: readonly OutgoingNetwork[],
  output: string,
  options: FolderOptions,
): Promise<void> {
  for (const network of networks) {
    const folder = path.join(output, network.name);
    await makeFolder(folder);
    await json(path.join(folder, "config.json"), await configOf(components, network.name));
    await writeWeights(folder, network, options);
  }
  const names = await writeOthers(components, output);
  const { folder } = components;
  const classes = [...networks.map(({ name }) => name), ...names].map((name): [string, [string, string]] => {
    const { library, className } =
      folder.components.get(name) ?? checkerClasses[name] ?? folder.component(name);
    return [
      name,
      [library, name === "vae" ? String(components.vae.config._class_name ?? className) : className],
    ];
  });
  await json(path.join(output, "model_index.json"), {
    _class_name: folder.className,
    ...folder.settings,
    ...Object.fromEntries(classes.sort(([a], [b]) => (a < b ? -1 : 1))),
  });
}

/** Of a checker that is named for a model without one: what Diffusers calls it and its image processor. */
const checkerClasses: Readonly<Record<string, { library: string; className: string }>> = {
  safety_checker: { library: "stable_diffusion", className: "StableDiffusionSafetyChecker" },
  feature_extractor: { library: "transformers", className: "CLIPImageProcessor" },
};

/** A network's config: that of what replaces it where that has one of its own. */
async function configOf({ folder, unet, vae, safetyChecker }: Networks, name: string): Promise<JsonObject> {
  if (name === "safety_checker") return safetyChecker!.config;
  const own = folder.component(name);
  const given = name === "unet" ? unet.replaced?.json : name === "vae" ? vae.config : undefined;
  const config = given ?? (await own.config());
  return name.startsWith("text_encoder")
    ? { architectures: [own.className], ...config }
    : { _class_name: own.className, ...config };
}

/** The scheduler, the tokenizers, and what this project adds to a folder; gives the components' names. */
async function writeOthers(
  { folder, textEncoders, safetyChecker }: Networks,
  output: string,
): Promise<string[]> {
  await makeFolder(path.join(output, "scheduler"));
  const { className, config } = folder.component("scheduler");
  await json(path.join(output, "scheduler", "scheduler_config.json"), {
    _class_name: className,
    ...(await config()),
  });
  const tokenizers = textEncoders.map(({ component: { name } }) => name.replace("text_encoder", "tokenizer"));
  for (const name of tokenizers) await writeTokenizer(await folder.tokenizer(name), path.join(output, name));
  if (!folder.file) {
    for (const name of ["koala.json", "words.json", ...(await licenseFiles(folder.path))]) {
      const file = path.join(folder.path, name);
      if ((await kindOf(file)) === "file") await copyFile(file, path.join(output, name));
    }
  }
  const processor = safetyChecker?.processorFile;
  if (processor === undefined) return ["scheduler", ...tokenizers];
  await makeFolder(path.join(output, "feature_extractor"));
  await copyFile(processor, path.join(output, "feature_extractor", path.basename(processor)));
  return ["scheduler", ...tokenizers, "feature_extractor"];
}

const special = {
  bos_token: "<|startoftext|>",
  eos_token: "<|endoftext|>",
  pad_token: "<|endoftext|>",
  unk_token: "<|endoftext|>",
};

/** A tokenizer's own files; those of the token that fills up are written for the model, which may have another. */
async function writeTokenizer(
  { path: from, padToken }: { path: string; padToken?: string },
  to: string,
): Promise<void> {
  await makeFolder(to);
  const there = (await readdir(from)).filter((name) =>
    /^(vocab|tokenizer|added_tokens|special_tokens_map|tokenizer_config)\.json$|^merges\.txt$/.test(name),
  );
  const own =
    padToken === undefined ? there : there.filter((name) => /^(vocab\.json|merges\.txt)$/.test(name));
  for (const name of own.length > 0 ? own : there) await copyFile(path.join(from, name), path.join(to, name));
  if (own.includes("tokenizer_config.json")) return;
  const tokens = { ...special, ...(padToken !== undefined && { pad_token: padToken }) };
  await json(path.join(to, "special_tokens_map.json"), tokens);
  await json(path.join(to, "tokenizer_config.json"), {
    tokenizer_class: "CLIPTokenizer",
    do_lower_case: true,
    errors: "replace",
    model_max_length: 77,
    ...tokens,
  });
}

async function writeWeights(
  folder: string,
  { name, tensors }: OutgoingNetwork,
  { onRead, shardBytes }: FolderOptions,
): Promise<void> {
  const isTransformers = name.startsWith("text_encoder") || name === "safety_checker";
  const stem = isTransformers ? "model" : "diffusion_pytorch_model";
  const shards = shardBytes === undefined ? [[...tensors]] : cut([...tensors], shardBytes);
  const number = (i: number) => String(i).padStart(5, "0");
  const map: Record<string, string> = {};
  let total = 0;
  for (const [i, shard] of shards.entries()) {
    const file =
      shards.length === 1
        ? `${stem}.safetensors`
        : `${stem}-${number(i + 1)}-of-${number(shards.length)}.safetensors`;
    const sources = new Map(shard.map(([at, tensor]) => [at, tensorSource(tensor, onRead)]));
    await writeSafetensors(path.join(folder, file), sources);
    for (const [at, tensor] of shard) {
      map[at] = file;
      total += bytesOf(tensor);
    }
  }
  if (shards.length === 1) return;
  await json(path.join(folder, `${stem}.safetensors.index.json`), {
    metadata: { total_size: total },
    weight_map: map,
  });
}

const bytesOf = ({ dtype, shape }: OutgoingTensor): number => count(shape) * dtypeSizes[dtype];

/** Tensors in their order, in groups of at most so many bytes; a larger one is alone. */
function cut<T extends readonly [string, OutgoingTensor]>(tensors: readonly T[], most: number): T[][] {
  const shards: T[][] = [[]];
  let size = 0;
  for (const tensor of tensors) {
    const bytes = bytesOf(tensor[1]);
    if (size + bytes > most && shards.at(-1)!.length > 0) {
      shards.push([]);
      size = 0;
    }
    shards.at(-1)!.push(tensor);
    size += bytes;
  }
  return shards;
}
