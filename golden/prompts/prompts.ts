/** @file prompts/: AUTOMATIC1111's grammar, as tables of fragments, schedules and chunks, and as embeddings. */

import path from "node:path";
import { z } from "zod";
import { kindOf, readJson, readText } from "../../src/files/file-system.js";
import { firstEmbeddings } from "../../src/pipeline/conditioning.js";
import { DiffusionPipeline } from "../../src/pipeline/pipeline.js";
import { parseAttention } from "../../src/text/a1111/attention.js";
import { chunksOf } from "../../src/text/a1111/chunks.js";
import { entryAt, promptSchedule } from "../../src/text/a1111/editing.js";
import { type ClipTokenizer, loadTokenizer } from "../../src/text/tokenizer.js";
import {
  type Check,
  type Context,
  type Expectation,
  type Expectations,
  failingCheck,
  type Section,
  tensorData,
} from "../conformance/check.js";
import { namesIn, openGolden } from "../conformance/golden-file.js";
import { equal, textEmbedding } from "../conformance/tolerances.js";

/** Each file with what checks it; the tokens of `chunks.json` are those of the folder that it names. */
export const prompts: Section = async (context) => {
  const at = (name: string) => path.join(context.folder, "prompts", name);
  const names = await namesIn(path.join(context.folder, "prompts"));
  const rows = await Promise.all(
    names.map(async (name): Promise<Check[]> => {
      if (name === "attention.json") return [attention(at(name))];
      if (name === "schedules.json") return [schedules(at(name))];
      if (name === "chunks.json") return [chunks(at(name), context)];
      if (name === "embeddings.json") return embeddings(at(name), context);
      if (name.endsWith(".safetensors") && names.includes(name.replace("safetensors", "json"))) return [];
      return [failingCheck(path.parse(name).name, "this tool does not know what this is")];
    }),
  );
  return rows.flat();
};

const fragment = z.tuple([z.string(), z.number()]);
const attentionRow = z.strictObject({ why: z.string(), text: z.string(), fragments: z.array(fragment) });

const sameText = (text: unknown): Expectation => ({ tolerance: equal, text: JSON.stringify(text) });

/** A check of a table whose rows have one value each; expectations are read after all is computed. */
function table<Row extends { why: string }>(
  file: string,
  row: z.ZodType<Row>,
  { compute, expected }: { compute: (row: Row) => unknown; expected: (row: Row) => unknown },
): Check {
  const rows = async () => z.array(row).parse(JSON.parse(await readText(file)));
  return {
    name: path.parse(file).name,
    compute: async () => new Map((await rows()).map((one) => [one.why, JSON.stringify(compute(one))])),
    expected: async () => new Map((await rows()).map((one) => [one.why, sameText(expected(one))])),
  };
}

const attention = (file: string): Check =>
  table(file, attentionRow, {
    compute: ({ text }) => parseAttention(text).map((one) => [one.text, one.weight]),
    expected: ({ fragments }) => fragments,
  });

const scheduleRow = z.strictObject({
  why: z.string(),
  text: z.string(),
  steps: z.int(),
  schedule: z.array(z.tuple([z.int(), z.string()])),
  calls: z.array(z.string()),
});

const schedules = (file: string): Check =>
  table(file, scheduleRow, {
    compute: ({ text, steps, calls }) => {
      const schedule = promptSchedule(text, steps);
      const seen = calls.map((_, call) => schedule[entryAt(schedule, call)]!.text);
      return [schedule.map(({ until, text }) => [until, text]), seen];
    },
    expected: ({ schedule, calls }) => [schedule, calls],
  });

const ids = z.array(z.array(z.number()));
const chunkRow = z.strictObject({
  why: z.string(),
  text: z.string(),
  learned: z.record(z.string(), z.int()).optional(),
  encoder_1: ids,
  weights: ids,
  encoder_2: ids.optional(),
  encoder_1_backtrack_0: z.union([ids, z.literal("the same")]).optional(),
  note: z.string().optional(),
});
const chunkTable = z.object({ vocabulary: z.string(), cases: z.array(chunkRow) });

function chunks(file: string, { layers }: Context): Check {
  const read = async () => chunkTable.parse(await readJson(file));
  return {
    name: "chunks",
    compute: async () => {
      const { vocabulary, cases } = await read();
      const folder = await layers.locate(vocabulary.split(" ")[0]!);
      const [first, second] = [await tokenizerIn(folder), await tokenizerIn(`${folder}_2`)];
      return new Map(cases.map((row) => [row.why, JSON.stringify(chunked(row, first, second))]));
    },
    expected: async () => {
      const { cases } = await read();
      return new Map(
        cases.map(({ why, encoder_1, weights, encoder_2 = null, encoder_1_backtrack_0: unmoved = null }) => {
          return [
            why,
            sameText([encoder_1, weights, encoder_2, unmoved === "the same" ? encoder_1 : unmoved]),
          ];
        }),
      );
    },
  };
}

function chunked(row: z.infer<typeof chunkRow>, first: ClipTokenizer, second: ClipTokenizer): unknown {
  let vector = 0;
  const learned = Object.entries(row.learned ?? {}).map(([name, count]) => ({
    ids: first.tokenIds(name),
    vectors: Array.from({ length: count }, () => --vector),
  }));
  const of = (tokenizer: ClipTokenizer, backtrack = 20) =>
    chunksOf(parseAttention(row.text), tokenizer, { maxTokens: 77, backtrack, learned });
  const own = of(first);
  return [
    own.map((chunk) => chunk.ids),
    own.map(({ weights }) => weights),
    row.encoder_2 === undefined ? null : of(second).map((chunk) => chunk.ids),
    row.encoder_1_backtrack_0 === undefined ? null : of(first, 0).map((chunk) => chunk.ids),
  ];
}

async function tokenizerIn(folder: string): Promise<ClipTokenizer> {
  const at = (name: string) => path.join(folder, name);
  return loadTokenizer({
    vocab: await readJson(at("vocab.json")),
    merges: await readText(at("merges.txt")),
    config: await readJson(at("tokenizer_config.json")),
    specialTokensMap: await readJson(at("special_tokens_map.json")),
    folder,
  });
}

const embeddingRow = z.strictObject({
  text: z.string(),
  emphasis: z.enum(["Original", "No norm"]),
  /** As A1111 counts: 1 leaves no layer out. */
  clip_skip: z.int().optional(),
  note: z.string().optional(),
  chunks: z.int(),
  /** What restores the means: they follow from the text. */
  factors: z.array(z.number()).nullable(),
});
const embeddingTable = z.record(z.string(), embeddingRow);
type EmbeddingRows = [name: string, row: z.infer<typeof embeddingRow>][];

/** A row per pipeline. */
async function embeddings(file: string, context: Context): Promise<Check[]> {
  const all = Object.entries(embeddingTable.parse(await readJson(file)));
  const pipelines = [...new Set(all.map(([name]) => name.split(".")[0]!))];
  return pipelines.map((pipeline): Check => {
    const rows = all.filter(([name]) => name.startsWith(`${pipeline}.`));
    return {
      name: `embeddings.${pipeline}`,
      compute: () => embedded(pipeline, rows, context),
      expected: async () => {
        const golden = await openGolden(file.replace(/json$/, "safetensors"), () => false);
        const wanted = rows.map(async ([name]): Promise<[string, Expectation]> => {
          return [name, { tolerance: textEmbedding, numbers: await golden.expected(`${name}.embeds`) }];
        });
        return new Map(await Promise.all(wanted)) satisfies Expectations;
      },
    };
  });
}

async function embedded(pipeline: string, rows: EmbeddingRows, { layers, engine }: Context) {
  const folder = await layers.complete(`pipelines/${pipeline}`);
  if ((await kindOf(folder)) === undefined) throw new Error(`inputs absent: pipelines/${pipeline}`);
  const pipe = await DiffusionPipeline.fromPretrained(folder, { engine });
  try {
    const computed = new Map<string, ReturnType<typeof tensorData>>();
    for (const [name, { text: prompt, emphasis: rule, clip_skip: skip = 1 }] of rows) {
      const emphasis = rule === "Original" ? "original" : "noNorm";
      const grammar = { prompt, emphasis, promptSyntax: "a1111", clipSkip: skip - 1 } as const;
      const request = { ...grammar, guidanceScale: 1, width: 64, height: 64 };
      const { conditions } = await pipe.prepare({ ...request, onWarning: () => {} });
      const { prompt: embeds } = firstEmbeddings(conditions, 1);
      computed.set(name, tensorData(embeds.data as Float32Array, ...embeds.shape));
    }
    return computed;
  } finally {
    await pipe.close();
  }
}
