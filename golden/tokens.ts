/** @file tokens.json and tokens-clip.json: texts and their ids. */

import path from "node:path";
import { z } from "zod";
import { kindOf, readJson, readText } from "../src/files/file-system.js";
import { type ClipTokenizer, loadTokenizer } from "../src/text/tokenizer.js";
import {
  type Check,
  type Computed,
  type Expectations,
  type Section,
  tensorData,
} from "./conformance/check.js";
import { readGoldenJson } from "./conformance/golden-file.js";
import { equal } from "./conformance/tolerances.js";

const textSchema = z.object({
  text: z.string(),
  ids: z.array(z.int()),
  padded: z.array(z.int()),
  pad: z.int(),
});
type Text = z.infer<typeof textSchema>;
const schema = z.object({ tokenizers: z.record(z.string(), z.array(textSchema)) });

/** What the tables pad and cut to. */
const maxLength = 77;

/** A row per tokenizer folder, and per pad token of CLIP's own vocabulary in the folder's sibling clip/. */
export const tokens: Section = async ({ folder }) => {
  const own = await tables(path.join(folder, "tokens.json"));
  const clip = await tables(path.join(folder, "tokens-clip.json"));
  const beside = path.resolve(folder, "..", "clip");
  return [
    ...own.map(([name, texts]) => check(name, texts, () => tokenizerIn(path.join(folder, name)))),
    ...clip.map(([name, texts]) => check(`clip/${name}`, texts, () => clipTokenizer(beside, texts[0]!.pad))),
  ];
};

async function tables(file: string): Promise<[string, Text[]][]> {
  if (!(await kindOf(file))) return [];
  return Object.entries(schema.parse(await readGoldenJson(file)).tokenizers);
}

function check(name: string, texts: readonly Text[], open: () => Promise<ClipTokenizer>): Check {
  const inputs = texts.map(({ text, ids }) => ({
    text,
    cutAt: ids.at(-1) === -1 ? ids.length - 1 : undefined,
  }));
  return {
    name,
    compute: async () => encodeAll(await open(), inputs),
    expected: async () => expectations(texts),
  };
}

const label = (text: string, what: string) => `${JSON.stringify(text.slice(0, 60))} ${what}`;

/** A table may stop after `cutAt` ids, and says so with a last -1. */
type Input = { readonly text: string; readonly cutAt: number | undefined };

function encodeAll(tokenizer: ClipTokenizer, inputs: readonly Input[]): Computed {
  const each = inputs.map(({ text, cutAt }, i) => {
    const { ids, uncut } = tokenizer.encode(text, { maxLength });
    const shown = cutAt !== undefined && uncut.length > cutAt ? [...uncut.slice(0, cutAt), -1] : uncut;
    return [
      [label(`${i}: ${text}`, "ids"), tensorData(shown)],
      [label(`${i}: ${text}`, "padded"), tensorData(ids)],
    ] as const;
  });
  return new Map(each.flat());
}

function expectations(texts: readonly Text[]): Expectations {
  const each = texts.map(({ text, ids, padded, pad }, i) => {
    const full = [...padded, ...new Array<number>(maxLength - padded.length).fill(pad)];
    return [
      [label(`${i}: ${text}`, "ids"), { tolerance: equal, numbers: tensorData(ids) }],
      [label(`${i}: ${text}`, "padded"), { tolerance: equal, numbers: tensorData(full) }],
    ] as const;
  });
  return new Map(each.flat());
}

async function tokenizerIn(folder: string): Promise<ClipTokenizer> {
  const at = (name: string) => path.join(folder, name);
  const json = async (name: string) => ((await kindOf(at(name))) ? readJson(at(name)) : undefined);
  const vocab = await json("vocab.json");
  return loadTokenizer({
    ...(vocab
      ? { vocab, merges: await readText(at("merges.txt")) }
      : { tokenizerJson: await readJson(at("tokenizer.json")) }),
    config: (await json("tokenizer_config.json")) ?? {},
    specialTokensMap: (await json("special_tokens_map.json")) ?? {},
    folder,
  });
}

/** CLIP's vocabulary with the pad token that has this id. */
async function clipTokenizer(folder: string, pad: number): Promise<ClipTokenizer> {
  if ((await kindOf(folder)) !== "folder") {
    throw new Error(`inputs absent: CLIP's vocabulary must be in ${folder}, for tokens-clip.json`);
  }
  const vocab = await readJson(path.join(folder, "vocab.json"));
  const merges = await readText(path.join(folder, "merges.txt"));
  const [token] = Object.entries(vocab).find(([, id]) => id === pad) ?? [];
  if (token === undefined) throw new Error(`inputs absent: ${folder}/vocab.json has no token of id ${pad}`);
  return loadTokenizer({ vocab, merges, config: { pad_token: token }, folder });
}
