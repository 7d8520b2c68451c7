/** @file Which device each served model gets. */

import { expect, it } from "vitest";
import { modelNamed, openModelRegistry } from "./model-registry.js";
import { checkPlacements, type FoundPlace, findPlaces, placementOf } from "./placements.js";

const model = new URL("../../golden/data/pipelines/koala-1b-tiny", import.meta.url).pathname;

it("a model has the server's device, unless it has one of its own, by id or name", () => {
  const placements = { device: "webgpu", dtype: "float16", devices: { nano: { device: "cpu" } } } as const;
  expect(placementOf(placements, "owner/nano")).toEqual({ device: "cpu", dtype: "float16" });
  expect(placementOf(placements, "other")).toEqual({ device: "webgpu", dtype: "float16" });
});

it("clients read what the device turned out to be", async () => {
  const asked = {
    device: "auto",
    devices: { "koala-1b-tiny": { device: "cpu", dtype: "float16" } },
  } as const;
  const seen: FoundPlace[] = [];
  const places = await findPlaces({ ...asked, device: "cpu" }, (place) => seen.push(place));
  // float16 is computed in float32 on the CPU.
  const float32 = { device: "cpu", dtype: "float32", weights: "stored" };
  expect(places.devices).toEqual({ "koala-1b-tiny": float32 });
  const cpu = { asked: "cpu", device: "cpu", dtype: "float32" };
  expect(seen).toMatchObject([
    { ...cpu, warnings: [expect.stringMatching(/^dtype: float16 .* so float32 is used/)] },
    { ...cpu, warnings: [] },
  ]);
  const registry = await openModelRegistry([model], { placements: places });
  expect(modelNamed(registry, undefined).info).toMatchObject({ device: "cpu", dtype: "float32" });
  expect(modelNamed(await openModelRegistry([model]), undefined).info).toMatchObject({ device: "cpu" });
});

it("refuses devices that there are none, and those of models that are not served", async () => {
  const misspelt = { devices: { nano: { device: "webgpo" } } };
  expect(() => checkPlacements(misspelt)).toThrow(/^device: must be auto, .* Did you mean "webgpu"\?/);
  const other = openModelRegistry([model], { placements: { devices: { nano: { device: "cpu" } } } });
  await expect(other).rejects.toThrow('device: must be given for a model of "koala-1b-tiny", got "nano".');
});
