/** @file The student's U-Net config: an edit of the teacher's, or a config that is checked against the teacher's. */

import { closest } from "../closest.js";
import { InvalidRequest, listed, ModelError } from "../errors.js";
import { readJson } from "../files/file-system.js";
import type { JsonObject } from "../files/json.js";
import { pooledWidth, textWidth, type UNetConfig, unetConfig } from "../models/unet-config.js";
import type { TrainingOptions } from "./options.js";

export const studentNames = ["koala-700m", "koala-1b", "teacher"] as const;
export type StudentName = (typeof studentNames)[number];

/** A student: one of KOALA's, cut from the teacher; "teacher", a copy of it, for a step distillation; the path of a U-Net's config.json; or such a config. */
export type Student = StudentName | (string & {}) | JsonObject;

/** The student where none is given: a step distillation alone leaves the network as it is, and a LoRA is beside it. */
export const defaultStudent = (
  o: Pick<TrainingOptions, "consistency" | "trajectory" | "lora">,
): StudentName => ((o.consistency ?? o.trajectory ?? o.lora) ? "teacher" : "koala-700m");

/** The name of a student, or the config in its file; InvalidRequest for another name. */
export async function readStudent(student: Student): Promise<StudentName | JsonObject> {
  if (typeof student !== "string") return student;
  if (student.endsWith(".json")) return readJson(student);
  const known = studentNames.find((name) => name === student);
  if (known) return known;
  const near = closest(student, studentNames);
  const rule = `must be ${listed(studentNames)} or the path of a config.json, got "${student}".`;
  throw new InvalidRequest("student", student, near ? `${rule} Did you mean "${near}"?` : rule);
}

type Files = { teacherFile?: string; studentFile?: string };

/**
 * The student's `unet/config.json`. "teacher" is the teacher's own. KOALA's names edit the teacher's (KOALA, section 3.1.1): one layer per block,
 * the transformers of the lowest resolution to 6 (1B) or 5 (700M) tenths of their depth, rounded to the
 * nearest whole number (halves up) but never below 1, all other depths kept, and for 700M no middle block. A
 * config of one's own is returned as it is, if it takes and gives what the teacher does. ModelError names the
 * field.
 */
export function studentConfig(
  teacher: JsonObject,
  student: StudentName | JsonObject,
  { teacherFile = "the teacher's unet/config.json", studentFile = "the student's config.json" }: Files = {},
): JsonObject {
  const parsed = unetConfig(teacher, teacherFile);
  if (typeof student === "object") {
    checkSameInterface(unetConfig(student, studentFile), parsed, studentFile);
    return student;
  }
  const { _name_or_path: _, ...kept } = teacher;
  if (student === "teacher") return kept;
  checkLayout(teacher, teacherFile);
  const share = student === "koala-1b" ? 0.6 : 0.5;
  return {
    ...kept,
    layers_per_block: 1,
    mid_block_type: student === "koala-1b" ? teacher.mid_block_type : null,
    transformer_layers_per_block: cutDepths(parsed, share),
  };
}

/**
 * The student with the input for w that a consistency distillation asks for. InvalidRequest where its own config has another
 * width, or one that nothing is given to.
 */
export function withGuidanceInput(
  student: JsonObject,
  consistency: { timeCondProjDim?: number | null } | null,
): JsonObject {
  const { time_cond_proj_dim: own = null } = student;
  const width = consistency?.timeCondProjDim ?? null;
  if (own !== null && own !== width) {
    const rule = `must be the student's time_cond_proj_dim (${JSON.stringify(own)}), got ${width}.`;
    throw new InvalidRequest("consistency.timeCondProjDim", width, rule);
  }
  return width === null ? student : { ...student, time_cond_proj_dim: width };
}

/** InvalidRequest for a student that is no network of the teacher's weights, which a LoRA is trained beside. */
export function checkLoraStudent(
  lora: NonNullable<TrainingOptions["lora"]>,
  student: Student,
  consistency: TrainingOptions["consistency"],
): void {
  if (student !== "teacher") {
    const rule = 'needs the student "teacher", whose weights it is trained beside and later added to';
    throw new InvalidRequest("lora", lora, `${rule}, got ${JSON.stringify(student)}.`);
  }
  const width = consistency?.timeCondProjDim ?? null;
  if (width === null) return;
  const rule = `must be null with lora, which has no weights for another input, got ${width}. Leave it out.`;
  throw new InvalidRequest("consistency.timeCondProjDim", width, rule);
}

/**
 * Depths from the highest resolution to the lowest; 0 where a stage has no attention, as the paper prints it.
 */
function cutDepths({ down }: UNetConfig, share: number): number[] {
  const depths = down.map((stage) => stage.depths?.[0] ?? 0);
  const lowest = depths.pop()!;
  return [...depths, Math.max(1, Math.round(lowest * share))];
}

const sdxl = {
  down_block_types: ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
  mid_block_type: "UNetMidBlock2DCrossAttn",
  up_block_types: ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
} as const;

/** KOALA's edits are defined for SDXL's arrangement of blocks; widths and depths may be any. */
function checkLayout(teacher: JsonObject, file: string): void {
  const check = (field: string, holds: (value: unknown) => boolean, rule: string) => {
    const value = teacher[field];
    if (holds(value)) return;
    const got = `got ${JSON.stringify(value) ?? "nothing"}`;
    const remedy = "Give the student as a config.json of its own.";
    throw new ModelError(
      file,
      `${field}: must be ${rule} for a KOALA student to be cut from it, ${got}. ${remedy}`,
    );
  };
  for (const [field, types] of Object.entries(sdxl)) {
    const text = JSON.stringify(types);
    check(
      field,
      (value) => (value === undefined ? field === "mid_block_type" : JSON.stringify(value) === text),
      text,
    );
  }
  const two = (n: unknown) => n === 2;
  check("layers_per_block", (v) => v === undefined || two(v) || (Array.isArray(v) && v.every(two)), "2");
  const whole = (n: unknown) => typeof n === "number" && n > 0;
  const depths = (v: unknown) => v === undefined || whole(v) || (Array.isArray(v) && v.slice(1).every(whole));
  check("transformer_layers_per_block", depths, "one depth above 0 per stage with attention");
  check("reverse_transformer_layers_per_block", (v) => v == null, "null");
}

/** Teacher and student are given the same inputs and their outputs are compared. */
function checkSameInterface(student: UNetConfig, teacher: UNetConfig, file: string): void {
  const compare = (field: string, own: unknown, teachers: unknown) => {
    const [got, required] = [JSON.stringify(own) ?? "none", JSON.stringify(teachers) ?? "none"];
    if (got !== required)
      throw new ModelError(file, `${field}: must be the teacher's (${required}), got ${got}.`);
  };
  compare("in_channels", student.inChannels, teacher.inChannels);
  compare("out_channels", student.outChannels, teacher.outChannels);
  compare("cross_attention_dim", textWidth(student), textWidth(teacher));
  compare("addition_embed_type", student.added && "text_time", teacher.added && "text_time");
  const field = "projection_class_embeddings_input_dim less 6 times addition_time_embed_dim";
  compare(field, pooledWidth(student), pooledWidth(teacher));
}
