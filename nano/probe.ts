/**
 * @file A probe of the bundled models, published in their cards: what they show unasked, and which words they confuse. Goes on
 * where it was stopped.
 */

import { cp } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { cardFile } from "./export.js";

const own = (name: string) => fileURLToPath(new URL(name, import.meta.url));

/** A shipped model, its card in the folder `card`, and the model that its tables show beside it. */
export type Probed = { folder: string; card: string; reference?: string };

/** `koala` runs the command line. */
export async function probeShipped(
  models: readonly Probed[],
  work: string,
  koala: (...args: readonly string[]) => Promise<void>,
): Promise<void> {
  // In one folder, so that the images of a model are generated once.
  const output = path.join(work, "probe");
  for (const { folder, card, reference } of models) {
    const beside = reference === undefined ? [] : ["-r", reference];
    await koala("probe", own("probe.yaml"), "-m", folder, ...beside, "-o", output);
    const report = path.join(output, "report.json");
    const file = cardFile(card);
    await koala("card", folder, "--text", file, "--probe", report, "-o", file, "--force");
    await cp(file, path.join(folder, "README.md"));
  }
}
