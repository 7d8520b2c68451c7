/** @file Keeps self-tests' results in the cache folder, by device and driver, so that each is run once. */

import * as z from "zod/mini";
import { cacheFolder } from "../../files/cache-folder.js";
import { readText, writeWhole } from "../../files/file-system.js";
import path from "../../files/path.js";
import { type SelfTestResult, selfTestResult } from "./self-test-result.js";

const entry = z.object({ key: z.string(), tested: z.string(), result: selfTestResult });
const file = z.object({ entries: z.array(entry) });
type Entries = z.infer<typeof file>["entries"];

/** More than a machine has devices; older ones are of drivers that were replaced. */
const kept = 16;
const aWeek = 7 * 24 * 3600 * 1000;

/** The file in the cache folder; undefined for a user without a home. */
export function deviceCache(...environment: Parameters<typeof cacheFolder>): string | undefined {
  const folder = cacheFolder(...environment);
  return folder && path.join(folder, "devices.json");
}

/**
 * The result that was kept under `key`, or that of `test`, which is then kept if it is to be. No file is no error, nor is
 * a broken one.
 */
export async function keptResult(
  key: string,
  test: () => Promise<SelfTestResult>,
  {
    at,
    now = Date.now(),
    driverKnown = true,
  }: { at: string | undefined; now?: number; driverKnown?: boolean },
): Promise<SelfTestResult> {
  if (at === undefined) return test();
  const entries = await read(at);
  const known = entries.find((e) => e.key === key);
  // Where the system does not tell the driver's version, a new one is found a week late at most.
  if (known && (driverKnown || now - Date.parse(known.tested) < aWeek)) return known.result;
  const result = await test();
  if (!toBeKept(result)) return result;
  const others = (await read(at)).filter((e) => e.key !== key).slice(0, kept - 1);
  const text = JSON.stringify({ entries: [{ key, tested: new Date(now).toISOString(), result }, ...others] });
  // Where nothing can be kept it is tested every time.
  await writeWhole(at, text).catch(() => {});
  return result;
}

/** Not a refusal by checks that did not run: memory may have been short, or the device lost. */
const toBeKept = ({ required }: SelfTestResult): boolean =>
  required.every(({ passed, error }) => passed || error !== undefined);

async function read(at: string): Promise<Entries> {
  try {
    return file.parse(JSON.parse(await readText(at))).entries;
  } catch {
    return [];
  }
}
