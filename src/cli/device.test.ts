/** @file Where `--from` generates again, and what the device options take. */

import { stripVTControlCharacters } from "node:util";
import { Command, CommanderError } from "commander";
import { expect, it } from "vitest";
import type { FoundPlace } from "../jobs/placements.js";
import type { SavedRequest } from "../pipeline/metadata/read.js";
import {
  type DeviceFlags,
  deviceFlags,
  notePlace,
  placementFlags,
  withDeviceOptions,
  withPlacementOptions,
} from "./device.js";
import { placeOf } from "./from-image.js";

const saved = (device: string | undefined, dtype?: "float32" | "float16") =>
  ({ device, dtype }) as SavedRequest;

/** The place, and what was said. */
async function placed(of: SavedRequest, given: DeviceFlags = {}) {
  const said: string[] = [];
  return [await placeOf(of, given, (line) => said.push(line)), said];
}

it("an image is generated again where it was, and in its arithmetic, unless flags say otherwise", async () => {
  expect(await placed(saved("cpu", "float32"))).toEqual([{ device: "cpu", dtype: "float32" }, []]);
  expect(await placed(saved("webgpu", "float16"), { device: "cpu", dtype: "float32" })).toEqual([
    { device: "cpu", dtype: "float32" },
    [],
  ]);
  expect(await placed(saved(undefined), { dtype: "float16" })).toEqual([{ dtype: "float16" }, []]);
  const int8 = { ...saved("cpu", "float32"), weights: "int8" } as const;
  const cpu = { device: "cpu", dtype: "float32" };
  expect(await placed(int8)).toEqual([{ ...cpu, weights: "int8" }, []]);
  expect(await placed(int8, { weights: "stored" })).toEqual([{ ...cpu, weights: "stored" }, []]);
});

it("an image of a device that is not here is generated on the best there is, which is said", async () => {
  const [place, said] = await placed(saved("cuda:9", "float32"), { allowSoftwareAdapter: true });
  expect(place).toEqual({ device: "auto", dtype: "float32", allowSoftwareAdapter: true });
  expect(said).toEqual([
    expect.stringMatching(/^generated on cuda:9, which cannot be had here, so auto is taken: /),
  ]);
  const [, hostile] = await placed(saved("\u001b[2Jgpu", "float32"));
  expect(hostile).toEqual([expect.stringMatching(/^generated on \?\[2Jgpu, which cannot be had here/)]);
});

it("the options are those of the library, checked before a command does anything", () => {
  const parse = (...args: string[]) => {
    const command = withDeviceOptions(
      new Command("x").exitOverride().configureOutput({ writeErr: () => {} }),
    );
    return deviceFlags(command.parse(args, { from: "user" }).opts());
  };
  expect(parse()).toEqual({});
  expect(parse("--device", "cuda:1", "--dtype", "float16", "--device-memory", "7.5 GiB")).toEqual({
    ...{ device: "cuda:1", dtype: "float16", deviceMemory: 7.5 * 2 ** 30 },
  });
  expect(parse("--allow-cpu-fallback", "--allow-software-adapter", "--device-memory", "8GB")).toEqual({
    ...{ allowCpuFallback: true, allowSoftwareAdapter: true, deviceMemory: 8e9 },
  });
  for (const [flag, value, message] of [
    ["--device", "webgpo", /It must be auto, .* Did you mean "webgpu"\?/],
    ["--weights", "int4", /It must be stored or int8 or int8-fast, got "int4"/],
    ["--dtype", "fp16", /It must be float32 or float16, got "fp16"/],
    ["--device-memory", "lots", /"lots" is not an amount of memory, such as 8GB/],
  ] as const) {
    expect(() => parse(flag, value)).toThrow(CommanderError);
    expect(() => parse(flag, value)).toThrow(message);
  }
});

it("a server says where models are generated if that was asked for, and what is not as asked", () => {
  const cpu = { device: "cpu", dtype: "float32", weights: "stored", deviceReason: "why" } as const;
  const said = (place: FoundPlace) => {
    const lines: string[] = [];
    notePlace(place, (line) => lines.push(stripVTControlCharacters(line)));
    return lines;
  };
  expect(said({ ...cpu, asked: "cpu", warnings: [] })).toEqual([]);
  expect(said({ ...cpu, asked: "cpu", warnings: ["float32 is used"] })).toEqual(["warning: float32 is used"]);
  expect(said({ ...cpu, asked: "auto", warnings: [] })).toEqual(["on cpu in float32: why"]);
  const int8 = { ...cpu, weights: "int8", asked: "auto", warnings: [] } as const;
  expect(said(int8)).toEqual(["on cpu in float32 with int8 weights: why"]);
});

it("a server's options may be of single models", () => {
  const parse = (...args: string[]) => {
    const silent = new Command("x").exitOverride().configureOutput({ writeErr: () => {} });
    return placementFlags(withPlacementOptions(silent).parse(args, { from: "user" }).opts());
  };
  expect(parse()).toEqual({});
  const models = ["--device", "nano=cpu", "--dtype", "a=b=float16", "--weights", "nano=int8"];
  expect(parse("--device", "cuda:1", ...models)).toEqual({
    device: "cuda:1",
    devices: { nano: { device: "cpu", weights: "int8" }, "a=b": { dtype: "float16" } },
  });
  expect(() => parse("--device", "cpu", "--device", "webgpu")).toThrow(/It is given twice/);
});
