/** @file Students cut from a teacher: configs and initial weights against golden/data/distil. */

import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { ModelError } from "../errors.js";
import type { JsonObject } from "../files/json.js";
import { knownUnets } from "../models/known.js";
import { unetConfig } from "../models/unet-config.js";
import { openSafetensors } from "../weights/safetensors-file.js";
import { initialisation, unetWeights } from "./initialisation.js";
import { teacherLayer } from "./layer-mapping.js";
import { studentConfig } from "./student.js";

const golden = new URL("../../golden/data/distil/", import.meta.url).pathname;
const json = (name: string) => JSON.parse(readFileSync(`${golden}${name}`, "utf8"));
const teacher: JsonObject = json("teacher/config.json");
const students = [
  ["1b", "koala-1b", "KOALA-1B"],
  ["700m", "koala-700m", "KOALA-700M"],
] as const;

type Row = { name: string; shape: number[]; source: string; tiny_shape: number[] };

describe.each(students)("student %s", (which, name, known) => {
  const mapping: { tensors: Row[] } = json(`mapping-${which}.json`);
  const sources = new Map(mapping.tensors.map((row) => [row.name, row.source]));

  it("has the golden config, edited from the teacher's", () => {
    expect(studentConfig(teacher, name)).toEqual(json(`student-init-${which}/config.json`));
  });

  it("is at full size the published one", () => {
    const student = unetConfig(studentConfig(knownUnets.SDXL, name));
    expect(student).toEqual(unetConfig(knownUnets[known]));
    const shapes = mapping.tensors.map((row) => [row.name, row.shape]);
    expect(unetWeights(student)).toEqual(new Map(shapes as [string, number[]][]));
  });

  it.each([
    ["tiny", teacher],
    ["full", knownUnets.SDXL],
  ])("begins as the golden mapping says, in every row (%s)", (_, from) => {
    const mapped = initialisation(unetConfig(studentConfig(from, name)), unetConfig(from));
    expect(mapped).toEqual(sources);
  });

  it("begins with the golden folder's weights, bit for bit", async () => {
    const file = "diffusion_pytorch_model.safetensors";
    const ours = await openSafetensors(`${golden}teacher/${file}`);
    const theirs = await openSafetensors(`${golden}student-init-${which}/${file}`);
    const mapped = initialisation(unetConfig(studentConfig(teacher, name)), unetConfig(teacher));
    expect([...mapped.keys()].sort()).toEqual([...theirs.tensors.keys()].sort());
    for (const [tensor, source] of mapped) {
      const [a, b] = [await ours.readFloats(source!), await theirs.readFloats(tensor)];
      expect(Buffer.compare(Buffer.from(a.buffer), Buffer.from(b.buffer)), tensor).toBe(0);
    }
  });
});

describe("the transformer layers", () => {
  it("are chosen from 10 as in the paper's ablation", () => {
    for (const which of ["1b", "700m"]) {
      const choice: Record<"bottom" | "interleaved" | "top", number[]> = json(
        `features-${which}.json`,
      ).layer_choice;
      for (const [rule, layers] of Object.entries(choice) as [keyof typeof choice, number[]][]) {
        const depths = { student: layers.length, teacher: 10 };
        expect(layers.map((_, k) => teacherLayer(rule, k, depths))).toEqual(layers);
      }
    }
  });

  it.each(["bottom", "interleaved", "top"] as const)(
    "are distinct and in order by the rule %s, at any depth",
    (rule) => {
      for (let from = 1; from <= 12; from++) {
        for (let depth = 1; depth <= from; depth++) {
          const chosen = Array.from({ length: depth }, (_, k) =>
            teacherLayer(rule, k, { student: depth, teacher: from }),
          );
          expect(chosen).toEqual([...new Set(chosen)].sort((a, b) => a! - b!));
          expect(chosen.every((k) => k! >= 0 && k! < from)).toBe(true);
        }
      }
    },
  );

  it("of the initial weights follow the rule as well", () => {
    const student = unetConfig(studentConfig(teacher, "koala-1b"));
    const mapped = initialisation(student, unetConfig(teacher), { layers: "top" });
    const tensor = (block: number, layer: number) =>
      `up_blocks.0.attentions.${block}.transformer_blocks.${layer}.attn1.to_q.weight`;
    expect(mapped.get(tensor(1, 0))).toBe(tensor(2, 4));
    expect(mapped.get(tensor(1, 5))).toBe(tensor(2, 9));
  });
});

describe("depths", () => {
  it.each([
    [1, 1, 1],
    [2, 1, 1],
    [3, 2, 2],
    [4, 2, 2],
    [8, 5, 4],
    [10, 6, 5],
    [20, 12, 10],
  ])("of %i at the lowest resolution become %i for 1B and %i for 700M", (depth, forB, forM) => {
    const from = { ...teacher, transformer_layers_per_block: [0, 3, depth] };
    expect(studentConfig(from, "koala-1b").transformer_layers_per_block).toEqual([0, 3, forB]);
    expect(studentConfig(from, "koala-700m").transformer_layers_per_block).toEqual([0, 3, forM]);
  });

  it("beyond the teacher's have no teacher tensor", () => {
    const student = unetConfig({ ...teacher, transformer_layers_per_block: [1, 2, 11] });
    const mapped = initialisation(student, unetConfig(teacher));
    const without = [...mapped].filter(([, source]) => source === undefined).map(([name]) => name);
    expect(without.length).toBeGreaterThan(0);
    expect(without.every((name) => name.includes(".transformer_blocks.10."))).toBe(true);
  });
});

describe("initial weights", () => {
  it("of a student of other widths are the teacher's only where the shapes are equal", () => {
    const student = unetConfig({ ...teacher, block_out_channels: [8, 12, 32] });
    const mapped = initialisation(student, unetConfig(teacher));
    expect(mapped.get("down_blocks.0.resnets.0.conv1.weight")).toBe("down_blocks.0.resnets.0.conv1.weight");
    expect(mapped.get("mid_block.resnets.0.conv1.weight")).toBeUndefined();
  });

  it("of a student equal to its teacher are the teacher's", () => {
    const config = unetConfig(teacher);
    for (const [name, source] of initialisation(config, config)) expect(source).toBe(name);
  });
});

describe("a teacher that is not of SDXL's layout is refused by the field's name", () => {
  it.each([
    ["down_block_types", { ...knownUnets["SD 2"] }],
    ["layers_per_block", { ...knownUnets["KOALA-1B"] }],
    ["mid_block_type", { ...knownUnets.SDXL, mid_block_type: null }],
    ["transformer_layers_per_block", { ...knownUnets.SDXL, transformer_layers_per_block: [1, 0, 10] }],
    [
      "up_block_types",
      { ...knownUnets.SDXL, up_block_types: ["UpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"] },
    ],
  ])("%s", (field, config) => {
    const make = () => studentConfig(config, "koala-700m", { teacherFile: "t/config.json" });
    expect(make).toThrow(ModelError);
    expect(make).toThrow(new RegExp(`^t/config.json: ${field}: must be .*, got .*\\.`));
  });
});

describe("a student's own config", () => {
  it("is taken as it is", () => {
    const own = { ...teacher, layers_per_block: 1 };
    expect(studentConfig(teacher, own)).toBe(own);
  });

  it.each([
    ["cross_attention_dim", { cross_attention_dim: 24 }],
    ["in_channels", { in_channels: 9 }],
    ["addition_embed_type", { addition_embed_type: null }],
    ["projection_class_embeddings_input_dim", { projection_class_embeddings_input_dim: 64 }],
  ])("must take what the teacher takes: %s", (field, edit) => {
    expect(() => studentConfig(teacher, { ...teacher, ...edit })).toThrow(
      new RegExp(`^the student's config.json: ${field}.*must be the teacher's`),
    );
  });
});
