/** @file runs/<pipeline>/<case>: whole requests through the public pipeline, every tensor on the way, the image. */

import path from "node:path";
import sharp from "sharp";
import { kindOf, realFile } from "../../src/files/file-system.js";
import { schemaProblem } from "../../src/validation.js";
import {
  type Check,
  type Context,
  type Expectation,
  type Expectations,
  orFailingCheck,
  type Section,
  type TensorData,
  tensorData,
} from "../conformance/check.js";
import { splitFirstAxis } from "../conformance/compare.js";
import { namesIn, openGolden, readGoldenJson } from "../conformance/golden-file.js";
import { equal, runTolerance } from "../conformance/tolerances.js";
import { type OpenPipeline, pipelineOpener, type Run, runSchema } from "./request.js";
import { tracedRun } from "./traced-run.js";

export const runs: Section = async (context) => {
  const folder = path.join(context.folder, "runs");
  const open = pipelineOpener(context);
  const rows: Check[] = [];
  for (const pipeline of await namesIn(folder)) {
    if (["attention", "safety"].includes(pipeline)) continue; // have sections of their own
    const files = await namesIn(path.join(folder, pipeline));
    const cases = files
      .filter((name) => /\.(json|safetensors)$/.test(name))
      .map((name) => path.parse(name).name);
    for (const name of new Set(cases)) {
      const row = () => checkOf(`${pipeline}/${name}`, path.join(folder, pipeline, name), open, context);
      rows.push(...(await orFailingCheck(`${pipeline}/${name}`, async () => [await row()])));
    }
  }
  return rows;
};

/** `at` is the path of the run's files without their endings. */
async function checkOf(name: string, at: string, open: OpenPipeline, context: Context): Promise<Check> {
  const json = await readGoldenJson(`${at}.json`);
  const parsed = runSchema.safeParse(json);
  if (!parsed.success) {
    const { field, rule } = schemaProblem(parsed.error, json);
    throw new Error(`its request is not understood: ${field}: ${rule}`);
  }
  const { outputs, expect, input_ids: ids, ...inputs } = parsed.data;
  // A run may be the same as another: its tensors and images are that one's.
  const expected = expect === undefined ? at : await context.layers.locate(expect.same_as);
  return {
    name,
    compute: () => tracedRun(inputs, at, open, context),
    expected: async () =>
      new Map([...idExpectations(ids), ...(await runExpectations(expected, inputs, outputs))]),
  };
}

/** Token ids, of every prompt and tokenizer. */
function idExpectations(ids: Run["input_ids"]): [string, Expectation][] {
  const { prompt, negative_prompt } = ids ?? {};
  return Object.entries({ prompt, negative_prompt }).flatMap(([text, byTokenizer]) =>
    Object.entries(byTokenizer ?? {}).map(([tokenizer, rows]): [string, Expectation] => [
      `${tokenizer}.${text}`,
      { tolerance: equal, numbers: tensorData(rows.flat()) },
    ]),
  );
}

/** Every tensor of the run, steps apart, and every image. */
async function runExpectations(
  at: string,
  { call }: Pick<Run, "call">,
  outputs: Run["outputs"],
): Promise<Expectations> {
  const file = await openGolden(`${at}.safetensors`, () => false);
  const lost = Object.keys(outputs).find((name) => !file.names.includes(name));
  if (lost !== undefined)
    throw new Error(`${path.basename(at)}.safetensors: must hold ${lost}, which its json lists`);
  const fromRgbImage = typeof call.image === "string";
  const all: [string, TensorData][] = [];
  for (const name of file.names) {
    const numbers = await file.expected(name);
    if (name.startsWith("steps.")) all.push(...splitFirstAxis(name, numbers));
    else all.push([name, numbers]);
  }
  all.push(...(await images(at, all.find(([name]) => name === "image")?.[1].shape[0])));
  return new Map(
    all.map(([name, numbers]) => [
      name,
      { tolerance: runTolerance(name, numbers, { fromRgbImage: fromRgbImage }), numbers },
    ]),
  );
}

/** The PNG files of a run: `count` of them, or those that are there. */
async function images(at: string, count: number | undefined): Promise<[string, TensorData][]> {
  const all: [string, TensorData][] = [];
  const file = (i: number) => `${at}${i === 0 ? "" : `.${i}`}.png`;
  for (let i = 0; count === undefined ? (await kindOf(file(i))) === "file" : i < count; i++)
    all.push([`png[${i}]`, await png(file(i))]);
  return all;
}

/** [height, width, 3] */
async function png(file: string): Promise<TensorData> {
  const { data, info } = await sharp(await realFile(file))
    .raw()
    .toBuffer({ resolveWithObject: true });
  return tensorData(data, info.height, info.width, info.channels);
}
