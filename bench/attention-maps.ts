/**
 * @file What attention maps cost in processor time: the same request with and without, taken in turns.
 * `npx tsx bench/attention-maps.ts [--model FOLDER] [--size PIXELS] [--steps N] [--pairs N]`
 */

import { parseArgs } from "node:util";
import { modelOrBundled } from "../src/hub/bundled-models.js";
import { DiffusionPipeline } from "../src/index.js";

const { values } = parseArgs({
  options: {
    model: { type: "string" },
    prompt: { type: "string", default: "a red apple on a blue background, flat icon" },
    size: { type: "string" },
    steps: { type: "string", default: "10" },
    pairs: { type: "string", default: "8" },
    threads: { type: "string", default: "1" },
  },
});
const model = modelOrBundled(values.model);
const side = values.size === undefined ? {} : { width: Number(values.size), height: Number(values.size) };
const request = {
  prompt: values.prompt,
  seed: 7,
  numInferenceSteps: Number(values.steps),
  ...side,
  onWarning: () => {},
};

const open = () => DiffusionPipeline.fromPretrained(model, { threads: Number(values.threads) });
// One pipeline each: a U-Net with maps is a program of its own, which would be loaded anew in every turn.
const [plain, mapped] = [await open(), await open()];
/** Processor seconds of all threads, which other work on the machine disturbs less than the clock. */
const seconds = async (work: () => Promise<unknown>) => {
  const before = process.cpuUsage();
  await work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1e6;
};
const without = () => seconds(() => plain.generate(request));
const withMaps = () =>
  seconds(async () => {
    const { attentionMaps } = await mapped.generate({ ...request, attentionMaps: true });
    attentionMaps![0]!.wordMaps();
  });
await without();
await withMaps();
const ratios: number[] = [];
const times: [number, number][] = [];
for (let pair = 0; pair < Number(values.pairs); pair++) {
  const [a, b] =
    pair % 2 === 0 ? [await without(), await withMaps()] : [await withMaps(), await without()].reverse();
  times.push([a!, b!]);
  ratios.push(b! / a!);
}
const median = (numbers: readonly number[]) => [...numbers].sort((x, y) => x - y)[numbers.length >> 1]!;
const [a, b] = [0, 1].map((i) => median(times.map((pair) => pair[i as 0 | 1])));
console.log(
  `${model}: ${a!.toFixed(3)} s of processor time without, ${b!.toFixed(3)} s with word maps, median of ratios ${median(ratios).toFixed(3)}` +
    ` (${Math.min(...ratios).toFixed(3)} to ${Math.max(...ratios).toFixed(3)}, ${ratios.length} pairs)`,
);
await plain.close();
await mapped.close();
