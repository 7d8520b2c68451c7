/** @file The tables of `bench/card.ts`: measured seconds, and how many times as fast as SDXL that is beside the card's. */

import { type Column, markdownTable } from "../../src/cli/table.js";
import type { Plan } from "./measure.js";
import { cardRows, modelNamed, type Row } from "./models.js";

/**
 * Seconds of one image; text encoders and autoencoder are absent if the U-Net alone was measured. `unetCpu` is the
 * processor time of the U-Net on the CPU, which other programs on the machine disturb less.
 */
export type Sample = { unet: number; unetCpu?: number; text?: number; vae?: number };

/** A row of the card, measured once a round; none if it does not fit. */
export type Measured = {
  row: Row;
  samples: readonly Sample[];
  highWater?: number;
  of?: string;
  plan: Plan;
};

/** `pixels` is the side of all images if that is not the card's; `inParts` if each part had a process of its own. */
export type Report = {
  device: string;
  dtype: string;
  method: string;
  pixels?: number;
  inParts: boolean;
  rows: readonly Measured[];
};

const median = (values: readonly number[]): number | undefined =>
  [...values].sort((a, b) => a - b)[values.length >> 1];

const whole = ({ text, unet, vae }: Sample): number | undefined =>
  text === undefined || vae === undefined ? undefined : text + unet + vae;

/** SDXL's seconds over this row's, round by round, of which the median counts. */
function ratio({ rows }: Report, { samples }: Measured, of: (sample: Sample) => number | undefined) {
  const sdxl = rows.find(({ row }) => row.title === "SDXL-Base")?.samples ?? [];
  const pairs = samples.flatMap((sample, i) => {
    const [mine, its] = [of(sample), sdxl[i] && of(sdxl[i])];
    return mine === undefined || its === undefined ? [] : [its / mine];
  });
  return median(pairs);
}

/** What a row says, as numbers: for JSON, and for the tables. */
export function rowNumbers(report: Report, one: Measured) {
  const { card, title, steps, model } = one.row;
  const middle = (of: (sample: Sample) => number | undefined) =>
    median(one.samples.flatMap((sample) => of(sample) ?? []));
  const sdxl = cardRows.find(({ model }) => model === "sdxl")!.card.unet!;
  return {
    model: title,
    pixels: report.pixels ?? modelNamed(model).pixels,
    steps,
    rounds: one.samples.length,
    textSeconds: middle(({ text }) => text),
    unetSeconds: middle(({ unet }) => unet),
    decodeSeconds: middle(({ vae }) => vae),
    imageSeconds: middle(whole),
    unetRatio: ratio(report, one, ({ unet }) => unet),
    imageRatio: ratio(report, one, whole),
    unetCpuSeconds: middle(({ unetCpu }) => unetCpu),
    unetCpuRatio: ratio(report, one, ({ unetCpu }) => unetCpu),
    cardUnetRatio: card.unet && sdxl / card.unet,
    cardImageRatio: card.against / card.image,
    highWater: one.highWater,
    highWaterOf: one.of,
    predicted: one.plan.fits === "kept" && !report.inParts ? one.plan.kept : one.plan.oneByOne,
    predictedPlan: one.plan,
  };
}

type Numbers = ReturnType<typeof rowNumbers>;

const number = (value: number | undefined, digits: number) => value?.toFixed(digits) ?? "–";
const times = (value: number | undefined) => (value === undefined ? "–" : `${value.toFixed(2)} ×`);
const gb = (bytes: number | undefined) => (bytes === undefined ? "–" : `${(bytes / 1e9).toFixed(2)} GB`);

const columns: readonly [Column, (row: Numbers) => string][] = [
  [{ title: "model" }, ({ model }) => model],
  [{ title: "px", numeric: true }, ({ pixels }) => String(pixels)],
  [{ title: "steps", numeric: true }, ({ steps }) => String(steps)],
  [{ title: "text s", numeric: true }, ({ textSeconds }) => number(textSeconds, 2)],
  [{ title: "U-Net s", numeric: true }, ({ unetSeconds }) => number(unetSeconds, 1)],
  [{ title: "decode s", numeric: true }, ({ decodeSeconds }) => number(decodeSeconds, 2)],
  [{ title: "image s", numeric: true }, ({ imageSeconds }) => number(imageSeconds, 1)],
  [{ title: "U-Net, SDXL = 1", numeric: true }, ({ unetRatio }) => times(unetRatio)],
  [{ title: "card's", numeric: true }, ({ cardUnetRatio }) => times(cardUnetRatio)],
  [{ title: "by CPU time", numeric: true }, ({ unetCpuRatio }) => times(unetCpuRatio)],
  [{ title: "image, SDXL = 1", numeric: true }, ({ imageRatio }) => times(imageRatio)],
  [{ title: "card's", numeric: true }, ({ cardImageRatio }) => times(cardImageRatio)],
  [{ title: "memory", numeric: true }, ({ highWater }) => gb(highWater)],
  [{ title: "predicted", numeric: true }, ({ predicted }) => gb(predicted)],
  [{ title: "fits" }, ({ predictedPlan }) => fits(predictedPlan)],
];

function fits({ fits, available, oneByOne, largest }: Plan): string {
  if (available === undefined) return "not known";
  if (fits !== "no") return fits === "kept" ? "yes" : "part by part";
  return `does not fit: ${gb(oneByOne)} (${largest}), ${gb(available)} there`;
}

/** A report as Markdown. */
export function reportTable(report: Report): string {
  const rows = report.rows.map((one) => rowNumbers(report, one));
  const { available, source, basis } = report.rows[0]!.plan;
  const memory = available === undefined ? `memory ${source}` : `${gb(available)} ${source}`;
  const of = report.rows.find((one) => one.of !== undefined)?.of;
  const body = markdownTable(
    columns.map(([column]) => column),
    rows.map((row) => columns.map(([, cell]) => cell(row))),
  );
  const head = `${report.device}, ${report.dtype}; ${memory}, predictions ${basis}${of ? `; memory is the highest of ${of}` : ""}`;
  return `${head}\n${report.method}\n\n${body}`;
}
