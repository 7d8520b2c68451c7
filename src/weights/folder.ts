/** @file A Diffusers folder: the components of its model_index.json, their paths and their configs. */

import { listed, ModelError } from "../errors.js";
import { kindOf, readdir, readJson } from "../files/file-system.js";
import { join, resolve } from "../files/path.js";
import { resolveWeights } from "./component.js";
import { optionalComponents, plainFiles } from "./file-names.js";
import { type ModelIndex, modelIndex } from "./index-file.js";
import type { ModelComponent, ModelSource, WeightChoice } from "./model-source.js";
import { refusePickle } from "./safetensors-file.js";
import type { WeightSet } from "./weight-set.js";

const indexName = "model_index.json";

/** Opens a Diffusers folder and checks that its components exist; ModelError says what the path is instead. */
export async function openFolder(path: string): Promise<ModelSource> {
  const root = resolve(path);
  const file = join(root, indexName);
  if ((await kindOf(file)) !== "file") throw new ModelError(path, await explainNoIndex(root));
  const index = modelIndex(await readJson(file), file);
  const present = await presentComponents(root, index);
  const absent = [...index.components.keys()].filter(
    (name) => !present.has(name) && !optionalComponents.includes(name),
  );
  if (absent.length) {
    const problem = `missing ${absent.length} of ${index.components.size} folders that ${indexName} names`;
    const remedy = "Download them, or set them to [null, null] there.";
    throw new ModelError(path, `${problem}: ${listed(absent)}. ${remedy}`, { missing: absent });
  }
  const part = (name: string): ModelComponent => {
    const found = present.get(name);
    if (found) return found;
    const problem = `must name the component "${name}", got ${listed([...present.keys()], 10)}`;
    throw new ModelError(file, `${problem}. Use a model that has it.`, { missing: [name] });
  };
  return {
    path: root,
    className: index.className,
    settings: index.settings,
    components: present,
    component: part,
    tokenizer: async (name) => ({ path: part(name).path }),
  };
}

async function presentComponents(root: string, index: ModelIndex): Promise<Map<string, ModelComponent>> {
  const components = new Map<string, ModelComponent>();
  for (const [name, { library, className }] of index.components) {
    const path = join(root, name);
    if ((await kindOf(path)) !== "folder") continue;
    const config = () => readJson(join(path, configName(className)));
    const weights = (choice?: WeightChoice) => weightsIn(path, choice);
    components.set(name, { name, library, className, path, config, weights });
  }
  return components;
}

/** The weights in a component's folder, of that variant. */
export function weightsIn(folder: string, { variant }: WeightChoice = {}): Promise<WeightSet> {
  // Plain files are what is taken where no variant is named.
  const named = variant === undefined || variant === plainFiles ? {} : { variant, orPlain: true };
  return resolveWeights(folder, named);
}

/** The names of the files at a folder's root that go where the weights go: licences and notices. */
export async function licenseFiles(root: string): Promise<string[]> {
  const names = (await readdir(root)).filter((name) => /^(LICENSE|NOTICE)/i.test(name)).sort();
  const kinds = await Promise.all(names.map((name) => kindOf(join(root, name))));
  return names.filter((_, i) => kinds[i] === "file");
}

function configName(className: string): string {
  if (className.endsWith("Scheduler")) return "scheduler_config.json";
  return /Tokenizer(Fast)?$/.test(className) ? "tokenizer_config.json" : "config.json";
}

/** The problem of a path without model_index.json, by its content, and the remedy. */
async function explainNoIndex(root: string): Promise<string> {
  const rule = `must be a Diffusers folder with ${indexName}`;
  const kind = await kindOf(root);
  if (kind === undefined) return `${rule}, got a path that does not exist. Check it, or download the model.`;
  if (kind === "file") {
    refusePickle(root);
    return `${rule}, got a single file.`;
  }
  const names = (await readdir(root)).filter((name) => !name.startsWith(".")).sort();
  if (!names.length) return `${rule}, got an empty folder. Download the model into it.`;
  if (names.includes("snapshots")) {
    return `${rule}, got a Hugging Face cache entry. Pass the folder inside its "snapshots".`;
  }
  if (names.includes("config.json")) {
    const { _class_name: name, architectures } = await readJson(join(root, "config.json"));
    const className = name ?? (Array.isArray(architectures) ? architectures[0] : undefined) ?? "model";
    return `${rule}, got the folder of one component (${className}). Pass the folder that holds it.`;
  }
  const checkpoint = names.find((name) => /\.(safetensors|ckpt)$/.test(name));
  if (checkpoint) {
    return `${rule}, got a folder with the checkpoint "${checkpoint}". Pass the path of that file.`;
  }
  return `${rule}, got ${listed(names)}. Check the path, or download the model again.`;
}
