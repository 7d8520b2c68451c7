/**
 * @file Sets of weights, and functions between them: renamed, split, exchanged, scaled, joined. No tensor is read or
 * copied; each stays a range of bytes in its file, with what those need to be the tensor.
 */
import { listed, ModelError } from "../errors.js";
import { isFloatDtype } from "./dtype.js";
import { readFloat32, type WeightEntry } from "./safetensors-file.js";

/** The tensors of a component; `file` and `files` are real absolute paths, `totalBytes` is as stored. */
export type WeightSet = {
  tensors: ReadonlyMap<string, WeightEntry>;
  files: readonly string[];
  variant?: string;
  totalBytes: number;
};

/** What becomes of a tensor: entries by name, none to leave it out. */
export type Rule = (name: string, entry: WeightEntry) => Iterable<readonly [string, WeightEntry]>;

/** The set of what `rule` makes of each tensor. ModelError where two get one name. */
export function mapped(set: WeightSet, rule: Rule): WeightSet {
  const tensors = new Map<string, WeightEntry>();
  for (const [old, entry] of set.tensors) {
    for (const [name, made] of rule(old, entry)) {
      if (tensors.has(name)) {
        const problem = `two tensors must not share a name, got ${listed([name])} for ${listed([old])} and another`;
        throw new ModelError(
          entry.file,
          `${problem}. The file mixes old and new names: use one that does not.`,
        );
      }
      tensors.set(name, made);
    }
  }
  return { ...set, tensors, totalBytes: bytesOf(tensors) };
}

/** The set with its tensors renamed by `rule`; those for which it gives undefined are left out. ModelError. */
export const renamed = (set: WeightSet, rule: (name: string) => string | undefined): WeightSet =>
  mapped(set, (old, entry) => {
    const name = rule(old);
    return name === undefined ? [] : [[name, entry]];
  });

/** The tensors below a prefix, without it. */
export const below = (set: WeightSet, prefix: string): WeightSet =>
  renamed(set, (name) => (name.startsWith(prefix) ? name.slice(prefix.length) : undefined));

/** The tensors of all sets. ModelError where two share a name. */
export function joined(...sets: readonly WeightSet[]): WeightSet {
  const all = sets.flatMap(({ tensors }) => [...tensors]);
  const files = [...new Set(sets.flatMap((set) => set.files))];
  const tensors = new Map(all);
  if (tensors.size < all.length) {
    const twice = all.find(([name], i) => all.findIndex(([other]) => other === name) < i)!;
    throw new ModelError(twice[1].file, `${listed([twice[0]])} must be in one file, got it in two.`);
  }
  return { tensors, files, totalBytes: bytesOf(tensors) };
}

/** A matrix or vector cut into equal parts along its first axis; undefined where it does not divide. */
export function rows(entry: WeightEntry, parts: number): WeightEntry[] | undefined {
  const { shape, offset, length, scale } = entry;
  const own = (shape[0] ?? 0) / parts;
  if (!Number.isInteger(own) || own === 0 || entry.transposed) return undefined;
  return Array.from({ length: parts }, (_, i) => ({
    ...entry,
    shape: [own, ...shape.slice(1)],
    offset: offset + (i * length) / parts,
    length: length / parts,
    ...(scale && scale.length > 1 && { scale: scale.slice(i * own, (i + 1) * own) }),
  }));
}

/** A matrix with rows and columns exchanged. */
export function exchanged({ transposed, ...entry }: WeightEntry): WeightEntry {
  const shape = [...entry.shape].reverse();
  return transposed ? { ...entry, shape } : { ...entry, shape, transposed: true };
}

/** Names of the factors that belong to a weight of eight bits, in ComfyUI's and in compressed-tensors' files. */
const scaleNames = ["scale_weight", "weight_scale"];

/** What such files hold besides: scales of inputs, and marks of the kind of quantisation. */
const quantisationMarks = /(^|\.)(scale_input|input_scale|scaled_fp8|comfy_quant)$/;

/**
 * The set with the factors of its eight-bit weights read and attached to them; other sets are returned as they are.
 * ModelError for a factor that does not fit.
 */
export async function scaled(set: WeightSet): Promise<WeightSet> {
  if (![...set.tensors.values()].some(({ dtype }) => dtype.startsWith("F8_"))) return set;
  const factors = new Map<string, { name: string; entry: WeightEntry }>();
  for (const [name, entry] of set.tensors) {
    const dot = name.lastIndexOf(".");
    if (scaleNames.includes(name.slice(dot + 1)))
      factors.set(`${name.slice(0, dot)}.weight`, { name, entry });
  }
  const tensors = new Map<string, WeightEntry>();
  const used = new Set([...factors.values()].map(({ name }) => name));
  for (const [name, entry] of set.tensors) {
    if (used.has(name) || quantisationMarks.test(name)) continue;
    const factor = factors.get(name);
    tensors.set(name, factor ? { ...entry, scale: await readScale(name, entry, factor) } : entry);
  }
  return { ...set, tensors, totalBytes: bytesOf(tensors) };
}

/** One factor, or one for each row. */
async function readScale(
  weight: string,
  { shape, file }: WeightEntry,
  { name, entry }: { name: string; entry: WeightEntry },
): Promise<Float32Array<ArrayBuffer>> {
  const size = entry.shape.reduce((product, n) => product * n, 1);
  if ((size !== 1 && size !== shape[0]) || !isFloatDtype(entry.dtype)) {
    const rule = `${listed([name])} must be one factor or ${shape[0]}, one for each row of ${listed([weight])}`;
    const remedy = "Weights scaled by blocks are not supported.";
    throw new ModelError(
      file,
      `${rule}, got ${entry.dtype} [${entry.shape.slice(0, 8).join(", ")}]. ${remedy}`,
    );
  }
  const scale = Float32Array.from(await readFloat32(name, entry));
  const wrong = scale.find((factor) => !Number.isFinite(factor));
  if (wrong === undefined) return scale;
  throw new ModelError(file, `${listed([name])} must be finite, got ${wrong}. Use another file.`);
}

/** Bytes of these tensors as stored. */
export function bytesOf(tensors: ReadonlyMap<string, { length: number }>): number {
  return [...tensors.values()].reduce((sum, { length }) => sum + length, 0);
}
