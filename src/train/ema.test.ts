/** @file The moving average's decay against golden/data/distil/ema.*, 150 updates under eight settings. */

import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { openSafetensors } from "../weights/safetensors-file.js";
import { emaDecay } from "./ema.js";

const golden = new URL("../../golden/data/distil/", import.meta.url).pathname;
type Setting = Record<string, number | boolean>;
const { settings, decay_at_step: decays } = JSON.parse(readFileSync(`${golden}ema.json`, "utf8")) as {
  settings: Record<string, Setting>;
  decay_at_step: Record<string, number[]>;
};
const file = await openSafetensors(`${golden}ema.safetensors`);
const camel = (setting: Setting) =>
  Object.fromEntries(
    Object.entries(setting).map(([key, value]) => [
      key.replace(/_(.)/g, (_, c: string) => c.toUpperCase()),
      value,
    ]),
  );

describe.each(Object.keys(settings))("%s", (name) => {
  const options = camel(settings[name]!);

  it("has Diffusers' decay at every update", () => {
    for (const [i, decay] of decays[name]!.entries()) expect(emaDecay(i + 1, options)).toBeCloseTo(decay, 14);
  });

  it("leads an average along Diffusers' path", async () => {
    const [path, wanted] = [await file.readFloats("path"), await file.readFloats(`ema/${name}`)];
    const average = path.slice(0, 11);
    for (let update = 1; update <= 150; update++) {
      const rest = 1 - emaDecay(update, options);
      for (const [i, x] of average.entries()) average[i] = x - rest * (x - path[update * 11 + i]!);
      for (const [i, x] of average.entries())
        expect(Math.abs(x - wanted[(update - 1) * 11 + i]!)).toBeLessThan(2e-6);
    }
  });
});
