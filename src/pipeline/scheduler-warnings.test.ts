/** @file Warnings of schedulers that a model was not made for. */

import { describe, expect, it } from "vitest";
import { EDMDPMSolverMultistepScheduler, EDMEulerScheduler } from "../diffusion/schedulers/edm.js";
import { schedulerFromConfig, schedulerNames } from "../diffusion/schedulers/registry.js";
import { schedulerWarnings } from "./scheduler-warnings.js";

describe("the warnings of a scheduler", () => {
  const made = (className: string) => schedulerFromConfig({}, {}, className);
  const [edm, others] = [
    schedulerNames.filter((name) => name.startsWith("EDM")),
    schedulerNames.filter((name) => !name.startsWith("EDM")),
  ];

  it("say where EDM's and others are exchanged, and which the model was trained for", () => {
    const warn = (name: string, own: string) => schedulerWarnings(made(name), made(own), { eta: 0 });
    expect(edm).toEqual([EDMEulerScheduler.name, EDMDPMSolverMultistepScheduler.name]);
    for (const one of edm) {
      for (const other of others) {
        expect(warn(other, one)).toEqual([
          `scheduler: ${other} is not one of EDM's, and this model was trained for those, so the image will be wrong; its own, ${one}, fits`,
        ]);
        expect(warn(one, other)).toEqual([
          `scheduler: ${one} is one of EDM's, and this model was not trained for those, so the image will be wrong; its own, ${other}, fits`,
        ]);
        expect(warn(other, others[0]!)).toEqual([]);
      }
      expect(warn(one, edm[0]!)).toEqual([]);
    }
  });

  it("say that eta has no effect, but with DDIM and TCD", () => {
    const takes = schedulerNames.filter(
      (name) => schedulerWarnings(made(name), made(name), { eta: 0.5 }).length === 0,
    );
    expect(takes.sort()).toEqual(["DDIMScheduler", "TCDScheduler"]);
  });
});
