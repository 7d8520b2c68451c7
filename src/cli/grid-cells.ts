/** @file The cells of `koala grid`: resolved, generated one by one, and put together on a sheet. */

import path from "node:path";
import { noticeText } from "../engine/notices.js";
import { Cancelled } from "../errors.js";
import { readFile } from "../files/file-system.js";
import { type Axes, type Cell, cellSettings, cellsOf } from "../grid/axes.js";
import { sheetLayout } from "../grid/layout.js";
import { sheetContent, sheetFields } from "../grid/sheet-content.js";
import { formatParameters } from "../image/metadata/parameters.js";
import { withPngTexts } from "../image/metadata/png-texts.js";
import { xmpPacket } from "../image/metadata/xmp.js";
import { drawSheet } from "../image/sheet.js";
import { defaultLimits } from "../jobs/limits.js";
import { type ModelRegistry, modelNamed } from "../jobs/model-registry.js";
import { openProcessor } from "../jobs/pipeline-processor.js";
import type { JobRequest } from "../jobs/processor.js";
import { type PartialRequest, resolvePartialRequest } from "../jobs/resolve-request.js";
import { cellFile, sheetName, type Weights } from "./grid-folder.js";
import { writeOutputs } from "./output-files.js";
import { ProgressBar, stopOnInterrupt, warnOnce } from "./terminal.js";

/** A cell whose request is resolved, and the name of its file. */
export type PlacedCell = Cell & { request: JobRequest; file: string };

type CellOptions = { output: string; quiet?: boolean; threads?: number };

/** On one's own machine nothing but the model limits a cell. */
const limits = { ...defaultLimits, pixels: 8192 * 8192, steps: 1000, count: 1 };

/** The request of all cells, before its axes vary it. */
export type GridRequest = Omit<PartialRequest, "scheduler"> & { scheduler?: string | undefined };

/** Every cell's request, checked before the first is generated. */
export function placed(base: GridRequest, axes: Axes, models: ModelRegistry, weights: Weights): PlacedCell[] {
  const { place } = modelNamed(models, base.model);
  return cellsOf(axes).map((cell) => {
    const request = resolvePartialRequest(cellSettings(base, axes, cell), models, limits);
    return { ...cell, request, file: cellFile(axes, cell, request, { ...weights, place }) };
  });
}

export async function generateCells(
  cells: readonly PlacedCell[],
  models: ModelRegistry,
  { output, quiet = false, threads }: CellOptions,
  say: (line: string) => void,
): Promise<void> {
  if (cells.length === 0) return;
  const processor = openProcessor(models, {
    ...(threads !== undefined && { threads }),
    // What a device leaves to the CPU is a warning of the cell.
    onNotice: (notice) => void (notice.type === "compiling" && say(noticeText(notice))),
  });
  const { signal, done } = stopOnInterrupt((line) => say(`${line}; the same command goes on`));
  const progress = new ProgressBar({ quiet });
  const total = cells.reduce((sum, { request }) => sum + request.settings.steps, 0);
  const started = performance.now();
  let before = 0;
  const warn = warnOnce();
  try {
    progress.start("generating", total);
    for (const [i, { request, file }] of cells.entries()) {
      if (signal.aborted) throw new Cancelled("the grid");
      const [events] = processor.process([{ request, signal }]);
      for await (const event of events!) {
        if (event.type === "image") {
          await write(path.join(output, file), event.image.bytes);
          event.image.warnings?.forEach(warn);
        }
        if (event.type !== "step") continue;
        const steps = before + (event.step / event.total) * request.settings.steps;
        const left = ((performance.now() - started) / 1000 / steps) * (total - steps);
        progress.step(Math.round(steps), left, `cell ${i + 1} of ${cells.length}`);
      }
      before += request.settings.steps;
    }
  } finally {
    progress.stop();
    done();
    await processor.close();
  }
}

export async function saveSheet(
  output: string,
  base: GridRequest,
  axes: Axes,
  cells: readonly PlacedCell[],
): Promise<void> {
  const files: Uint8Array[] = [];
  for (const { file } of cells) files.push(await readFile(path.join(output, file)));
  const { settings } = cells[0]!.request;
  const { width, height } = settings;
  const layout = sheetLayout(sheetContent({ ...base, width, height }, axes, settings));
  const { prompt, negativePrompt } = base;
  const parameters = formatParameters({ prompt, negativePrompt, fields: sheetFields(base, axes) });
  const png = await drawSheet(layout, files);
  const sheet = withPngTexts(png, { parameters, "XML:com.adobe.xmp": xmpPacket() });
  await write(path.join(output, sheetName), sheet);
}

async function write(file: string, bytes: Uint8Array): Promise<void> {
  const { failure } = await writeOutputs([{ file, numbered: false, bytes: async () => bytes }]);
  if (failure) throw failure;
}
