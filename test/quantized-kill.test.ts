/** @file A command that is killed, or meets a full disk, while it quantises weights: the cache holds nothing half, and the next one works. */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readdirSync, rmSync, watch } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, expect, it } from "vitest";
import { makeFolder, unfinished } from "../src/files/file-system.js";
import { quantizedFiles } from "../src/weights/quantized-cache.js";
import { built, limitedKoala } from "./limited.js";

const folder = mkdtempSync(path.join(tmpdir(), "koala-quantized-kill-"));
afterAll(() => rmSync(folder, { recursive: true }));
const cache = path.join(folder, "koala-diffusion", "weights");

const args = (output: string) => [
  ...["generate", "a red apple, flat icon", "--seed", "7", "--steps", "2", "--weights", "int8"],
  ...["-o", path.join(folder, output)],
];
const env = { XDG_CACHE_HOME: folder };

const names = () => (existsSync(cache) ? readdirSync(cache) : []);

it("leaves nothing half when it is killed, and the next one makes the rest", async () => {
  await makeFolder(cache);
  let cut = false;
  for (let attempt = 0; attempt < 20 && !cut; attempt++) {
    const child = spawn(process.execPath, [built("cli/main.js"), ...args("killed.png")], {
      env: { ...process.env, ...env },
    });
    const watcher = watch(cache, (_, name) => {
      if (name && unfinished(name)) child.kill("SIGKILL");
    });
    await once(child, "exit");
    watcher.close();
    cut = names().some(unfinished);
    // What has its name is whole: its header is read, and names the network.
    for (const { network } of await quantizedFiles(cache)) expect(network).not.toBe("");
    if (!cut) rmSync(cache, { recursive: true });
    await makeFolder(cache);
  }
  expect(cut).toBe(true);
  expect(await limitedKoala(args("after.png"), { env })).toMatchObject({ code: 0 });
  expect(existsSync(path.join(folder, "after.png"))).toBe(true);
  expect((await quantizedFiles(cache)).map(({ network }) => network).sort()).toEqual([
    "text_encoder",
    "text_encoder_2",
    "unet",
  ]);
});

it("names the file and the remedy on a full disk, and leaves nothing", async () => {
  rmSync(cache, { recursive: true, force: true });
  // Files of at most 400 KiB: the U-Net's weights do not fit.
  const { code, stderr } = await limitedKoala(args("full.png"), { env, shell: "ulimit -f 400" });
  expect(code).toBe(1);
  expect(stderr).toMatch(/weights\/\S+: must be writable, got EFBIG/);
  expect(names().filter((name) => unfinished(name) || name.startsWith("unet"))).toEqual([]);
});
