/** @file mapping-W.json, features-W.json and student-init-W/: what a student is cut from, compared with and begins as. */

import { z } from "zod";
import { knownUnets } from "../../src/models/known.js";
import { unetInputs } from "../../src/models/trace.js";
import { type UNetConfig, unetConfig } from "../../src/models/unet-config.js";
import { Params, tracing } from "../../src/tensor/params.js";
import { show } from "../../src/tensor/tensor.js";
import { type FeatureSet, featurePairs, featureSets } from "../../src/train/features.js";
import { initialisation, unetWeights } from "../../src/train/initialisation.js";
import { layerRules, teacherLayer } from "../../src/train/layer-mapping.js";
import { trainingOptions } from "../../src/train/options.js";
import { type StepSize, unetWithFeatures } from "../../src/train/step.js";
import { studentConfig, studentNames } from "../../src/train/student.js";
import {
  type Check,
  type Computed,
  type Expectation,
  type TensorData,
  tensorData,
} from "../conformance/check.js";
import { equal } from "../conformance/tolerances.js";
import { type DistillFolder, json, requireFile, scalarData, studentIds, tensorsOf } from "./folder.js";

/** The stored nets of a folder: configs as they lie there. */
export async function storedUnet(set: DistillFolder, folder: string, owner: string): Promise<UNetConfig> {
  await requireFile(set, folder, owner);
  return unetConfig(await json(set, `${folder}/config.json`), `${folder}/config.json`);
}

/** The full-size student of W, cut from SDXL. */
function fullSize(id: string): UNetConfig {
  const name = studentNames.find((student) => student === `koala-${id}`);
  if (!name) throw new Error(`this build has no student "koala-${id}"`);
  return unetConfig(studentConfig(knownUnets.SDXL, name));
}

export function studentChecks(set: DistillFolder): Check[] {
  const stored = set.names.flatMap((name) => /^student-init-(.+)$/.exec(name)?.[1] ?? []);
  return [
    ...studentIds(set, "mapping").map((id) => mappingCheck(set, id)),
    ...stored.map((id) => initialWeightsCheck(set, id)),
    ...studentIds(set, "features").map((id) => featurePairsCheck(set, id)),
  ];
}

const text = (value: string): Expectation => ({ tolerance: equal, text: value });
const count = (value: number): Expectation => ({ tolerance: equal, numbers: scalarData(value) });

const mappingSchema = z.looseObject({
  count: z.int(),
  parameters: z.int(),
  same_name: z.int(),
  renamed: z.int(),
  random: z.int(),
  teacher_tensors: z.int(),
  teacher_tensors_unused: z.int(),
  misfits_under_plain_same_name_copy: z.array(z.string()),
  tensors: z.array(
    z.object({
      name: z.string(),
      shape: z.array(z.int()),
      source: z.string(),
      tiny_shape: z.array(z.int()),
    }),
  ),
});
type Mapping = z.infer<typeof mappingSchema>;
type MappingCounts = Omit<Mapping, "tensors" | "misfits_under_plain_same_name_copy">;

const describeSource = (source: string, shape: readonly number[], tiny: readonly number[]) =>
  `${source} ${show(shape)} tiny ${show(tiny)}`;

function mappingCheck(set: DistillFolder, id: string): Check {
  const owner = `mapping-${id}.json`;
  return {
    name: `mapping-${id}`,
    compute: async () => {
      const tiny = unetWeights(await storedUnet(set, `student-init-${id}`, owner));
      return computeMapping(fullSize(id), unetConfig(knownUnets.SDXL), tiny);
    },
    expected: async () => {
      const {
        tensors,
        misfits_under_plain_same_name_copy: misfits,
        ...counts
      } = mappingSchema.parse(await json(set, owner));
      const rows = tensors.map((row): [string, Expectation] => [
        row.name,
        text(describeSource(row.source, row.shape, row.tiny_shape)),
      ]);
      const expected = Object.entries(counts).flatMap(([name, value]): [string, Expectation][] =>
        typeof value === "number" ? [[`(${name})`, count(value)]] : [],
      );
      return new Map([...rows, ...expected, ["(misfits)", text(misfits.join())]]);
    },
  };
}

/** By name: the teacher's tensor, the shape at full size and that of the stored net; and what the table counts. */
function computeMapping(
  student: UNetConfig,
  teacher: UNetConfig,
  tiny: ReadonlyMap<string, readonly number[]>,
): Computed {
  const [ours, theirs] = [unetWeights(student), unetWeights(teacher)];
  const sources = initialisation(student, teacher);
  const rows = [...sources].map(([name, source]): [string, string] => [
    name,
    describeSource(source ?? "random", ours.get(name)!, tiny.get(name) ?? []),
  ]);
  const found = [...sources].filter(([, source]) => source !== undefined);
  const used = new Set(found.map(([, source]) => source));
  const misfits = [...ours].filter(([name, shape]) => theirs.get(name)?.join() !== shape.join());
  const counts: MappingCounts = {
    count: sources.size,
    parameters: [...ours.values()].reduce((sum, shape) => sum + shape.reduce((a, b) => a * b, 1), 0),
    same_name: found.filter(([name, source]) => name === source).length,
    renamed: found.filter(([name, source]) => name !== source).length,
    random: sources.size - found.length,
    teacher_tensors: theirs.size,
    teacher_tensors_unused: theirs.size - used.size,
  };
  return new Map<string, TensorData | string>([
    ...rows,
    ...Object.entries(counts).map(([name, value]): [string, TensorData] => [
      `(${name})`,
      scalarData(value as number),
    ]),
    ["(misfits)", misfits.map(([name]) => name).join()],
  ]);
}

const weightFile = "diffusion_pytorch_model.safetensors";

/** The student's config and weights, cut from the teacher's, bit by bit. */
function initialWeightsCheck(set: DistillFolder, id: string): Check {
  const owner = `student-init-${id}`;
  return {
    name: owner,
    compute: async () => {
      const teacher = await storedUnet(set, "teacher", owner);
      const isInput = () => true;
      const file = await tensorsOf(set, `teacher/${weightFile}`, { owner, isInput });
      const name = studentNames.find((student) => student === `koala-${id}`);
      if (!name) throw new Error(`this build has no student "koala-${id}"`);
      const config = unetConfig(studentConfig(await json(set, "teacher/config.json"), name));
      const computed = new Map<string, TensorData | string>([["(config)", JSON.stringify(config)]]);
      const sources = initialisation(config, teacher);
      for (const [tensor, source] of sources)
        if (source !== undefined) computed.set(tensor, await file.input(source));
      return computed.set("(count)", scalarData(sources.size));
    },
    expected: async () => {
      const file = await tensorsOf(set, `${owner}/${weightFile}`, { owner });
      const expected = new Map<string, Expectation>([
        ["(config)", text(JSON.stringify(await storedUnet(set, owner, owner)))],
        ["(count)", count(file.names.length)],
      ]);
      for (const name of file.names)
        expected.set(name, { tolerance: equal, numbers: await file.expected(name) });
      return expected;
    },
  };
}

const pairSchema = z.object({
  stage: z.string(),
  student: z.string(),
  teacher: z.string(),
  shape: z.array(z.int()),
  tiny_shape: z.array(z.int()),
});
const featuresSchema = z.looseObject({
  default: z.string(),
  layer_choice: z.record(z.string(), z.array(z.int())),
  full_size: z.looseObject({ latent: z.array(z.int()) }),
  tiny: z.looseObject({ latent: z.array(z.int()) }),
  counts: z.record(z.string(), z.int()),
  sets: z.record(z.string(), z.array(pairSchema)),
});

export function featureSetNamed(name: string): FeatureSet {
  const found = featureSets.find((set) => set === name);
  if (!found) throw new Error(`this build has no feature set "${name}"`);
  return found;
}

const describePair = ({ stage, student, teacher, shape, tiny_shape }: z.infer<typeof pairSchema>) =>
  `${stage}: ${student} <- ${teacher} ${show(shape)} tiny ${show(tiny_shape)}`;

function featurePairsCheck(set: DistillFolder, id: string): Check {
  const owner = `features-${id}.json`;
  const read = async () => featuresSchema.parse(await json(set, owner));
  return {
    name: `features-${id}`,
    compute: async () => {
      const { sets, full_size, tiny, layer_choice } = await read();
      const [student, teacher] = [fullSize(id), unetConfig(knownUnets.SDXL)];
      const stored = await storedUnet(set, `student-init-${id}`, owner);
      const computed = new Map<string, TensorData | string>([["default", trainingOptions().feature]]);
      const depths = { student: lowestDepth(student), teacher: lowestDepth(teacher) };
      for (const name of Object.keys(layer_choice)) {
        const rule = layerRules.find((rule) => rule === name);
        if (!rule) throw new Error(`this build has no layer rule "${name}"`);
        const layers = Array.from({ length: depths.student }, (_, k) => teacherLayer(rule, k, depths)!);
        computed.set(`layers ${name}`, tensorData(layers));
      }
      for (const name of Object.keys(sets)) {
        const pairs = featurePairs(student, teacher, featureSetNamed(name));
        const paths = pairs.map((pair) => pair.student);
        const [large, small] = [
          shapesAt(student, paths, full_size.latent),
          shapesAt(stored, paths, tiny.latent),
        ];
        const rows = pairs.map((p) =>
          describePair({ ...p, shape: [...large.get(p.student)!], tiny_shape: [...small.get(p.student)!] }),
        );
        for (const [i, row] of rows.entries()) computed.set(`${name} ${i}`, row);
        computed.set(`${name} (count)`, scalarData(pairs.length));
      }
      return computed;
    },
    expected: async () => {
      const { default: usual, sets, counts, layer_choice } = await read();
      const pairs = Object.entries(sets).flatMap(([name, rows]) =>
        rows.map((row, i): [string, Expectation] => [`${name} ${i}`, text(describePair(row))]),
      );
      return new Map<string, Expectation>([
        ["default", text(usual)],
        ...Object.entries(layer_choice).map(([name, layers]): [string, Expectation] => [
          `layers ${name}`,
          { tolerance: equal, numbers: tensorData(layers) },
        ]),
        ...pairs,
        ...Object.entries(counts).map(([name, n]): [string, Expectation] => [`${name} (count)`, count(n)]),
      ]);
    },
  };
}

const lowestDepth = ({ down }: UNetConfig): number => down.at(-1)!.depths?.[0] ?? 0;

function shapesAt(c: UNetConfig, paths: readonly string[], latent: readonly number[]) {
  const [batch, , height, width] = latent as [number, number, number, number];
  const size: StepSize = { batch, height, width, tokens: 77 };
  const { at } = unetWithFeatures(new Params(tracing()), c, unetInputs(c, size), paths);
  return new Map([...at].map(([path, x]) => [path, x.shape]));
}
