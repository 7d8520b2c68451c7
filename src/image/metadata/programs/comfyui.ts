/**
 * @file The graph of nodes that ComfyUI puts into images (its API format: nodes by id, each with `class_type` and
 * `inputs`, an input being a value or a link `[id, output]`), read as far as its standard nodes go. Pure.
 */

import type { FoundSettings } from "./found-settings.js";
import { at, isObject, type Json, modelName, objectIn, present, scalar } from "./json.js";

type Node = { id: string; kind: string; inputs: Json };
type Graph = ReadonlyMap<string, Node>;

const program = "ComfyUI";
const samplers = ["KSampler", "KSamplerAdvanced"];
const emptyLatents = ["EmptyLatentImage", "EmptySD3LatentImage"];
/** Nodes that decide nothing that is not read from them; any other is named. */
const plain = new Set([
  ...["CLIPTextEncode", "CLIPTextEncodeSDXL", "CheckpointLoaderSimple", "CheckpointLoader", ...emptyLatents],
  ...["VAEDecode", "SaveImage", "PreviewImage", "SaveAnimatedWEBP", "PrimitiveNode", "Reroute", "Note"],
]);
const mostLinks = 64;

/** From `prompt` as a text or an object, or from an object that is the graph itself; undefined if it is none of these. */
export function fromComfyui(object: Json): FoundSettings | undefined {
  const { prompt, workflow } = object;
  const graph = graphOf(typeof prompt === "string" ? objectIn(prompt) : prompt) ?? graphOf(object);
  if (graph) return read(graph);
  if (workflow === undefined) return undefined;
  return nothing("it holds the editor's workflow alone, not the graph that was run");
}

function graphOf(value: unknown): Graph | undefined {
  if (!isObject(value)) return undefined;
  const nodes = Object.entries(value).flatMap(([id, node]) => {
    const [kind, inputs] = [at(node, "class_type"), at(node, "inputs")];
    return typeof kind === "string" && isObject(inputs) ? [[id, { id, kind, inputs }] as const] : [];
  });
  return nodes.length > 0 ? new Map(nodes) : undefined;
}

const nothing = (problem: string): FoundSettings => ({
  program,
  parameters: { prompt: "", negativePrompt: undefined, fields: new Map() },
  problem,
});

function read(graph: Graph): FoundSettings {
  const all = [...graph.values()].filter(({ kind }) => samplers.includes(kind));
  const begin = all.filter(({ inputs }) =>
    emptyLatents.includes(linked(graph, inputs.latent_image)?.kind ?? ""),
  );
  const sampler = all.length === 1 ? all[0] : begin.length === 1 ? begin[0] : undefined;
  if (!sampler) {
    const several = `it has ${all.length} KSampler nodes, and not one of them alone begins with an empty image`;
    return nothing(all.length === 0 ? "it has no KSampler node" : several);
  }
  const { inputs } = sampler;
  const positive = textFrom(graph, inputs.positive, "positive");
  const negative = textFrom(graph, inputs.negative, "negative");
  const parameters = {
    prompt: positive.text ?? "",
    negativePrompt: negative.text,
    fields: fieldsOf(graph, sampler, [...positive.unread, ...negative.unread]),
  };
  if (positive.text !== undefined) return { program, parameters };
  const problem = `its prompt was not found: ${nameOf(sampler)} leads to no text`;
  return { program, parameters, problem };
}

const nameOf = ({ kind, id }: Node) => `${kind} (node ${id})`;

/** The sampler's settings under A1111's names, then what was not understood under ComfyUI's. */
function fieldsOf(graph: Graph, sampler: Node, unread: readonly string[]): Map<string, string> {
  const { inputs } = sampler;
  const latent = linked(graph, inputs.latent_image);
  const own = (name: string) => settingOf(graph, sampler, name);
  const [width, height] = ["width", "height"].map((name) => latent && settingOf(graph, latent, name));
  const [steps, denoise] = [own("steps"), own("denoise")];
  const model = modelFrom(graph, inputs.model);
  const given: Record<string, string | undefined> = {
    Steps: steps,
    Sampler: own("sampler_name"),
    "Schedule type": own("scheduler"),
    "CFG scale": own("cfg"),
    Seed: own("seed") ?? own("noise_seed"),
    Size: width !== undefined && height !== undefined ? `${width}x${height}` : undefined,
    Model: model && modelName(model),
    "Denoising strength": Number(denoise ?? 1) === 1 ? undefined : denoise,
    // ComfyUI draws an image's first noise on the CPU wherever it runs.
    RNG: "CPU",
    start_at_step: Number(own("start_at_step") ?? 0) > 0 ? own("start_at_step") : undefined,
    end_at_step: Number(own("end_at_step") ?? steps) < Number(steps) ? own("end_at_step") : undefined,
    batch_size: latent && Number(settingOf(graph, latent, "batch_size") ?? 1) > 1 ? "several" : undefined,
  };
  const others = [...graph.values()].filter((node) => node !== sampler && !plain.has(node.kind));
  return new Map([
    ...unread.map((name) => [name, "not read"] as const),
    ...others.reverse().map(({ kind, id }) => [kind, `node ${id}`] as const),
    ...present(given),
  ]);
}

/** The node that an input leads to. */
function linked(graph: Graph, input: unknown): Node | undefined {
  if (!Array.isArray(input) || input.length !== 2) return undefined;
  const [id]: unknown[] = input;
  return typeof id === "string" || typeof id === "number" ? graph.get(String(id)) : undefined;
}

/** An input's value, or that of the node it leads to, which has it under the same name or a general one. */
function settingOf(graph: Graph, from: Node, name: string, links = 0): string | undefined {
  const input = Object.hasOwn(from.inputs, name) ? from.inputs[name] : undefined;
  const value = scalar(input);
  if (value !== undefined) return value;
  const node = links < mostLinks ? linked(graph, input) : undefined;
  const names = [name, "value", "Value", "seed", "int", "float", "string", "text", "number"];
  const found = node && names.find((each) => Object.hasOwn(node.inputs, each));
  return node && found !== undefined ? settingOf(graph, node, found, links + 1) : undefined;
}

/** The text that a conditioning was made of, through nodes that change it, which are named elsewhere. */
function textFrom(
  graph: Graph,
  input: unknown,
  side: "positive" | "negative",
): { text: string | undefined; unread: string[] } {
  let node = linked(graph, input);
  for (let links = 0; node && links < mostLinks; links++) {
    // It makes zeros of whatever it is given.
    if (node.kind === "ConditioningZeroOut") break;
    const { inputs } = node;
    if (Object.hasOwn(inputs, "text")) return { text: settingOf(graph, node, "text"), unread: [] };
    if (Object.hasOwn(inputs, "text_g")) {
      const [text, small] = [settingOf(graph, node, "text_g"), settingOf(graph, node, "text_l")];
      return { text, unread: small === undefined || small === text ? [] : [`text_l of node ${node.id}`] };
    }
    node = linked(graph, inputs.conditioning ?? inputs.conditioning_1 ?? inputs[side]);
  }
  return { text: undefined, unread: [] };
}

function modelFrom(graph: Graph, input: unknown): string | undefined {
  let node = linked(graph, input);
  for (let links = 0; node && links < mostLinks; links++) {
    const file = ["ckpt_name", "unet_name"].find((name) => Object.hasOwn(node!.inputs, name));
    if (file) return settingOf(graph, node, file);
    node = linked(graph, node.inputs.model);
  }
  return undefined;
}
