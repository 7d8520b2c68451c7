/** @file stages/*.safetensors and taesdxl.safetensors: what rows they hold, found from the names of their tensors. */

import path from "node:path";
import { guidanceEmbedding } from "../../src/diffusion/guidance-embedding.js";
import { kindOf } from "../../src/files/file-system.js";
import {
  type Check,
  type Computed,
  type Context,
  failingCheck,
  orFailingCheck,
  type Section,
  tensorData,
} from "../conformance/check.js";
import { type GoldenFile, namesIn, openGolden } from "../conformance/golden-file.js";
import { guidanceEmbeddingTolerance, stageTensor } from "../conformance/tolerances.js";
import { openNetworks, publishedTaesd, type StageNetworks } from "./networks.js";
import { decodeStage, encodeStage, textStage, unetStage } from "./stage-outputs.js";

/** `embedding.<width>.<guidance scale>` of a U-Net that reads the guidance scale; there is no input. */
function guidanceChecks(name: string, file: GoldenFile): Check[] {
  const names = file.names.filter((tensor) => guidance.test(tensor));
  if (names.length === 0) return [];
  const partsOf = (tensor: string) => guidance.exec(tensor)!.slice(1).map(Number) as [number, number];
  const compute = (tensor: string) => {
    const [width, scale] = partsOf(tensor);
    return [tensor, tensorData(guidanceEmbedding(Math.fround(scale - 1), width), 1, width)] as const;
  };
  const expected = async (tensor: string) => {
    const tolerance = guidanceEmbeddingTolerance(partsOf(tensor)[1]);
    return [tensor, { tolerance, numbers: await file.expected(tensor) }] as const;
  };
  return [
    {
      name: `${name}/embedding`,
      compute: async () => new Map(names.map(compute)),
      expected: async () => new Map(await Promise.all(names.map(expected))),
    },
  ];
}

const guidance = /^embedding\.(\d+)\.(\d+\.\d+)$/;

/** Everything that begins with `prefix` belongs to the row. */
type Found = { prefix: string; compute: (parts: StageNetworks) => Promise<Computed> };

const isInput = (name: string) => /(^|\.)input(\.|$)|\.input_ids$/.test(name);

export const stages: Section = async (context) => {
  const folder = path.join(context.folder, "stages");
  const files = (await namesIn(folder)).filter((name) => name.endsWith(".safetensors"));
  const rows: Check[] = [];
  for (const file of files) {
    const name = path.basename(file, ".safetensors");
    const open = () => openNetworks(name.replace(/-tiled$/, ""), context);
    rows.push(...(await orFailingCheck(name, () => checksOf(name, path.join(folder, file), open, context))));
  }
  const taesdxl = path.join(context.folder, "taesdxl.safetensors");
  if (!(await kindOf(taesdxl))) return rows;
  const weights = path.resolve(context.folder, "..", "weights", "taesdxl");
  const open = async () => ({ textEncoders: [], vae: await publishedTaesd(weights) });
  return [...rows, ...(await orFailingCheck("taesdxl", () => checksOf("taesdxl", taesdxl, open, context)))];
};

async function checksOf(
  name: string,
  at: string,
  open: () => Promise<StageNetworks>,
  context: Context,
): Promise<Check[]> {
  const file = await openGolden(at, isInput);
  const found = file.names.flatMap((tensor) => stageOf(tensor, file, context));
  const claimed = (tensor: string) => found.some(({ prefix }) => tensor.startsWith(prefix));
  const rest = file.names.filter((tensor) => !claimed(tensor) && !isInput(tensor) && !guidance.test(tensor));
  const rows = found.map(
    ({ prefix, compute }): Check => ({
      name: `${name}/${prefix.replace(/\.$/, "")}`,
      compute: async () => compute(await open()),
      expected: async () => {
        const mine = file.names.filter((tensor) => tensor.startsWith(prefix) && !isInput(tensor));
        const expectation = async (tensor: string) => ({
          tolerance: stageTensor,
          numbers: await file.expected(tensor),
        });
        return new Map(
          await Promise.all(mine.map(async (t) => [t.slice(prefix.length), await expectation(t)] as const)),
        );
      },
    }),
  );
  rows.push(...guidanceChecks(name, file));
  if (rest.length === 0) return rows;
  return [
    ...rows,
    failingCheck(
      `${name}/(others)`,
      `inputs absent: there is none for ${rest.length} tensors such as ${rest[0]}`,
    ),
  ];
}

/** The stage that begins with this tensor; none if it is not the first input of one. */
function stageOf(tensor: string, file: GoldenFile, { engine }: Context): Found[] {
  const [, text] = /^(text_encoder(?:_\d+)?)\.input_ids$/.exec(tensor) ?? [];
  if (text !== undefined) return [{ prefix: `${text}.`, compute: (p) => textStage(text, p, file, engine) }];
  const [, size] = /^unet\.(.+)\.input\.sample$/.exec(tensor) ?? [];
  if (size !== undefined)
    return [{ prefix: `unet.${size}.`, compute: (p) => unetStage(size, p, file, engine) }];
  const [, side] = /^((?:vae\.)?(?:encode|decode)\.(?:.+\.)?)input$/.exec(tensor) ?? [];
  if (side === undefined) return [];
  const run = /(^|\.)encode\./.test(side) ? encodeStage : decodeStage;
  return [{ prefix: side, compute: (p) => run(side, p, file, engine) }];
}
