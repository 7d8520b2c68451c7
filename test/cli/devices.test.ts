/** @file `koala devices` on a machine without a graphics card, and on one whose driver computes on the CPU. */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, afterEach, expect, it, vi } from "vitest";
import { devicesCommand } from "../../src/cli/devices.js";
import { keptResult } from "../../src/engine/devices/kept-results.js";
import type { Machine } from "../../src/engine/devices/machine.js";
import { thisMachine } from "../../src/engine/devices/this-machine.js";
import { blockingEngine } from "../../src/engine/ort/blocking-engine.js";
import { EngineError } from "../../src/errors.js";

const folder = mkdtempSync(path.join(tmpdir(), "koala-devices-"));
afterAll(() => rmSync(folder, { recursive: true }));
afterEach(() => void vi.restoreAllMocks());

const withoutCard: Machine = {
  ...thisMachine,
  missing: async (provider) =>
    provider === "webgpu" || provider === "cpu" ? undefined : `${provider} is not installed. Install it.`,
  engine: () => {
    throw new EngineError("probe", new Error("Failed to get a WebGPU adapter"));
  },
  drivers: () => ({ libraries: [], software: undefined }),
  tested: (key, test) => keptResult(key, test, { at: path.join(folder, "devices.json") }),
};

/** WebGPU's programs, computed by ONNX Runtime's CPU provider. */
const inSoftware: Machine = {
  ...withoutCard,
  engine: ({ device, ...options }) =>
    blockingEngine({ ...options, ...(device && { device: { ...device, provider: "cpu" } }) }),
  drivers: () => ({ libraries: ["/lib/libvulkan_lvp.so"], software: "lavapipe" }),
};

async function printed(machine: Machine, ...args: string[]): Promise<string> {
  let text = "";
  vi.spyOn(process.stdout, "write").mockImplementation((part) => {
    text += part;
    return true;
  });
  await devicesCommand(machine).exitOverride().parseAsync(args, { from: "user" });
  return text;
}

it("without a graphics card lists the cpu as ready, and of each other device what is missing", async () => {
  const lines = (await printed(withoutCard)).trimEnd().split("\n");
  expect(lines[0]).toMatch(/^device +state +half precision/);
  const rows = [
    /^cpu +ready +- +Always there; the default\.$/,
    /^webgpu +unusable +- +no graphics adapter was found\. .*Failed to get a WebGPU adapter\.$/,
    /^cuda +unusable +- +Untested: written from documentation\. cuda is not installed\. Install it\.$/,
    /^dml +unusable +- +Untested/,
    /^coreml +unusable +- +Untested/,
  ];
  const table = lines.slice(-rows.length);
  for (const row of rows) expect(table).toContainEqual(expect.stringMatching(row));
});

it("names a software adapter, and each operator of its self-test with its error", async () => {
  const text = await printed(inSoftware);
  expect(text).toMatch(
    /^webgpu +software +yes +lavapipe, a software adapter: .* --allow-software-adapter\.$/m,
  );
  const [, passed, all] = /^.*self-test of webgpu: (\d+) of (\d+) passed/m.exec(text)!;
  expect(passed).toBe(all);
  expect(text).toMatch(/^ {2}Conv +ok +\d\.\de[+-]\d+$/m);
});

it("as JSON has the same", async () => {
  const { devices } = JSON.parse(await printed(inSoftware, "--json"));
  expect(devices.map((d: { device: string }) => d.device).sort()).toEqual(
    ["cpu", "webgpu", "cuda", "dml", "coreml"].sort(),
  );
  const webgpu = devices.find((d: { device: string }) => d.device === "webgpu");
  expect(webgpu).toMatchObject({
    state: "software",
    adapter: "lavapipe, a software adapter",
    half: true,
    untested: false,
  });
  expect(webgpu.checks).toContainEqual(expect.objectContaining({ name: "Gemm", passed: true }));
});
