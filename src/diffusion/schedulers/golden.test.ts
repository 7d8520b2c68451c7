/** @file The schedulers equal Diffusers' in every table, trajectory and noising of golden/data, by the conformance tool. */

import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { runCheck } from "../../../golden/conformance/compare.js";
import { failed, reportLine } from "../../../golden/conformance/report.js";
import { schedulers } from "../../../golden/schedulers/schedulers.js";
import { levelOfAlphaBar, velocity } from "../prediction.js";
import { KDPM2AncestralDiscreteScheduler } from "./kdpm2-ancestral.js";

const checks = await schedulers({ folder: fileURLToPath(new URL("../../../golden/data", import.meta.url)) });

describe("the schedulers equal Diffusers' in", () => {
  it.each(checks)("$name", async (check) => {
    const result = await runCheck(check);
    expect(failed(result), reportLine(result)).toBe(false);
    expect(result.tensors.length).toBeGreaterThan(0);
  });
});

/** Where the conformance tool compares nothing, because Diffusers has NaN or rounding noise. */
describe("beyond Diffusers' precision", () => {
  it.each([2, 4])(
    "KDPM2 ancestral's %i steps call halfway at the next timestep: the mean of s and t^2/s is t",
    (n) => {
      const scheduler = new KDPM2AncestralDiscreteScheduler({ beta_schedule: "squaredcos_cap_v2" });
      scheduler.setTimesteps(n);
      const { timesteps } = scheduler;
      const halfway = [...timesteps.keys()].filter((i) => i % 2 === 1);
      expect(halfway.length).toBe(n - 1);
      for (const i of halfway) expect(timesteps[i]! - timesteps[i + 1]!, `call ${i}`).toBeCloseTo(0, 3);
    },
  );

  it("the velocity without noise is the noise", () => {
    const [clean, noise] = [Float32Array.of(0.5, -2), Float32Array.of(1, 3)];
    expect(velocity(clean, noise, levelOfAlphaBar(1))).toEqual(noise);
  });
});
