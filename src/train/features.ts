/**
 * @file Feature sets: which of the student's activations are compared with which of the teacher's. Paths are layers of
 * the U-Net, as `Params` reports them.
 */

import { InvalidRequest } from "../errors.js";
import type { UNetConfig } from "../models/unet-config.js";
import { type LayerRule, type StagePair, stagePairs, teacherLayer } from "./layer-mapping.js";

export const featureSets = [
  "koala",
  "sa",
  "ca",
  "res",
  "ffn",
  "lf",
  "none",
  "sa_interleaved",
  "sa_top",
  "lf_ends",
  "res_ends",
  "sa_and_lf_all",
  "sa_and_res_all",
] as const;
export type FeatureSet = (typeof featureSets)[number];

export type FeaturePair = {
  /** The stage's name in the paper, such as DW-2. */
  stage: string;
  student: string;
  teacher: string;
};

/**
 * The pairs of a feature set (KOALA, section 3.1.2 and appendix B): `sa` self-attention, `ca` cross-attention
 * and `ffn` feed-forward outputs before their residual is added; `res` residual blocks; `lf` each stage's
 * output after its resampler; `*_ends` the stages without attention alone; `koala` is `sa` and `lf_ends`.
 * Throws InvalidRequest where the teacher has nothing of the student's width to compare with.
 */
export function featurePairs(student: UNetConfig, teacher: UNetConfig, set: FeatureSet): FeaturePair[] {
  const stages = stagePairs(student, teacher);
  const ends = stages.filter((s) => !s.student.depths?.some((depth) => depth > 0));
  const comparable = (chosen: readonly StagePair[]) => {
    for (const stage of chosen) checkWidths(stage, set);
    return chosen;
  };
  const inLayers = (part: string, rule: LayerRule = "bottom") =>
    comparable(stages.filter((s) => !ends.includes(s))).flatMap((s) => layerPairs(s, part, rule, set));
  const residual = (some: readonly StagePair[]) => comparable(some).flatMap((s) => residualPairs(s, set));
  const last = (some: readonly StagePair[]) => comparable(some).map((s) => same(s));
  switch (set) {
    case "none":
      return [];
    case "koala":
      return [...inLayers("attn1"), ...last(ends)];
    case "sa":
      return inLayers("attn1");
    case "ca":
      return inLayers("attn2");
    case "ffn":
      return inLayers("ff");
    case "res":
      return residual(stages);
    case "lf":
      return last(stages);
    case "sa_interleaved":
      return inLayers("attn1", "interleaved");
    case "sa_top":
      return inLayers("attn1", "top");
    case "lf_ends":
      return last(ends);
    case "res_ends":
      return residual(ends);
    case "sa_and_lf_all":
      return [...inLayers("attn1"), ...last(stages)];
    case "sa_and_res_all":
      return [...inLayers("attn1"), ...residual(stages)];
  }
  return set satisfies never;
}

const same = ({ name, path }: StagePair): FeaturePair => ({ stage: name, student: path, teacher: path });

function layerPairs(stage: StagePair, part: string, rule: LayerRule, set: FeatureSet): FeaturePair[] {
  const { path, student, teacher, blocks } = stage;
  const at = (block: number, layer: number) =>
    `${path}.attentions.${block}.transformer_blocks.${layer}.${part}`;
  return (student.depths ?? []).flatMap((depth, j) =>
    Array.from({ length: depth }, (_, k) => {
      const block = blocks[j];
      const teacherDepth = block === undefined ? 0 : (teacher?.depths?.[block] ?? 0);
      const layer = teacherLayer(rule, k, { student: depth, teacher: teacherDepth });
      if (block === undefined || layer === undefined) throw without(set, at(j, k));
      return { stage: stage.name, student: at(j, k), teacher: at(block, layer) };
    }),
  );
}

function residualPairs({ name, path, blocks }: StagePair, set: FeatureSet): FeaturePair[] {
  return blocks.map((block, j) => {
    const student = `${path}.resnets.${j}`;
    if (block === undefined) throw without(set, student);
    return { stage: name, student, teacher: `${path}.resnets.${block}` };
  });
}

function checkWidths({ path, student, teacher }: StagePair, set: FeatureSet): void {
  if (!teacher) throw without(set, path);
  if (student.channels === teacher.channels) return;
  const got = `got ${student.channels} and ${teacher.channels} channels at ${path}`;
  throw new InvalidRequest("feature", set, `must compare equal widths, ${got}. Use "none" for this student.`);
}

function without(set: FeatureSet, path: string): InvalidRequest {
  const rule = `must find what it compares in the teacher as well, got nothing there for ${path}`;
  return new InvalidRequest("feature", set, `${rule}. Use another set, or a student cut from this teacher.`);
}
