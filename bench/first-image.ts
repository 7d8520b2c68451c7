/**
 * @file The bundled model, from command to file: one image, and what each further one adds.
 * `npx tsx bench/first-image.ts`, after a build.
 */

import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const main = fileURLToPath(new URL("../dist/cli/main.js", import.meta.url));
const folder = await mkdtemp(path.join(tmpdir(), "koala-first-"));
const [turns, more] = [7, 8];

async function seconds(count: number): Promise<number> {
  const args = [main, "generate", "a red apple, flat icon", "--seed", "7", "--count", String(count), "-q"];
  const started = performance.now();
  await promisify(execFile)(process.execPath, [
    ...args,
    "-o",
    path.join(folder, count === 1 ? "one.png" : "many/"),
  ]);
  return (performance.now() - started) / 1000;
}

const quartiles = (values: readonly number[]) => {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (share: number) => sorted[Math.round(share * (sorted.length - 1))]!.toFixed(2);
  return `${at(0.5)} s (${at(0.25)} to ${at(0.75)})`;
};

const [first, further]: [number[], number[]] = [[], []];
for (let turn = 0; turn < turns; turn++) {
  const one = await seconds(1);
  first.push(one);
  further.push(((await seconds(1 + more)) - one) / more);
}
await rm(folder, { recursive: true });
console.log(`first image: ${quartiles(first)}`);
console.log(`each further one: ${quartiles(further)}`);
