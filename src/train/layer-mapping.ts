/**
 * @file The mapping of the student's stages, blocks and transformer layers to the teacher's.
 */

import type { Stage, UNetConfig } from "../models/unet-config.js";

/** Which of the teacher's transformer layers a shallower student corresponds to (KOALA, appendix B.4). */
export const layerRules = ["bottom", "interleaved", "top"] as const;
export type LayerRule = (typeof layerRules)[number];

/**
 * The teacher's layer for the student's layer k: `bottom` the first ones, `top` the last ones, `interleaved`
 * every ceil(teacher / student)-th, then, where those run out, the last ones (6 of 10: 0, 2, 4, 6, 8, 9). A
 * student that is deeper has the teacher's layers first; undefined for those beyond.
 */
export function teacherLayer(
  rule: LayerRule,
  k: number,
  depths: { student: number; teacher: number },
): number | undefined {
  const spare = depths.teacher - depths.student;
  if (spare < 0) return k < depths.teacher ? k : undefined;
  switch (rule) {
    case "bottom":
      return k;
    case "top":
      return spare + k;
    case "interleaved":
      return Math.min(Math.ceil(depths.teacher / depths.student) * k, spare + k);
  }
  return rule satisfies never;
}

/** One stage of both networks. */
export type StagePair = {
  /** The paper's name: DW-1 to DW-3, MID, UP-1 to UP-3. */
  name: string;
  /** Its path in the weights, the same in both. */
  path: string;
  student: Stage;
  teacher: Stage | undefined;
  /**
   * For each of the student's residual blocks (and the transformer after it) the teacher's, if it has one.
   */
  blocks: readonly (number | undefined)[];
};

/** The student's stages, from the input to the output. */
export function stagePairs(student: UNetConfig, teacher: UNetConfig): StagePair[] {
  const down = student.down.map((stage, i) => {
    const path = `down_blocks.${i}`;
    return pair(`DW-${i + 1}`, path, stage, teacher.down[i], (j) => j);
  });
  const middle: StagePair[] = student.mid
    ? [{ name: "MID", path: "mid_block", student: student.mid, teacher: teacher.mid, blocks: [0, 1] }]
    : [];
  const up = student.up.map((stage, i) => {
    const path = `up_blocks.${i}`;
    // Of a decoder's blocks the first and the last are kept (BK-SDM), although in the highest stage the
    // shapes of the middle one fit as well.
    const last = (teacher.up[i]?.resnets ?? 0) - 1;
    const block = (j: number) => (j === stage.resnets - 1 ? last : j < last ? j : undefined);
    return pair(`UP-${i + 1}`, path, stage, teacher.up[i], block);
  });
  return [...down, ...middle, ...up];
}

function pair(
  name: string,
  path: string,
  student: Stage,
  teacher: Stage | undefined,
  block: (j: number) => number | undefined,
): StagePair {
  const blocks = Array.from({ length: student.resnets }, (_, j) => {
    const index = block(j);
    return teacher && index !== undefined && index < teacher.resnets ? index : undefined;
  });
  return { name, path, student, teacher, blocks };
}

/** The paths of a U-Net's stages, in the order in which they are computed: where gradient checkpointing cuts. */
export const stagePaths = ({ down, mid, up }: UNetConfig): string[] => [
  ...down.map((_, i) => `down_blocks.${i}`),
  ...(mid ? ["mid_block"] : []),
  ...up.map((_, i) => `up_blocks.${i}`),
];
