/**
 * @file The library in Chromium by WebGPU, on SwiftShader, which computes on the CPU. `.ci/run` runs this; `npm test` leaves
 * it out: shaders are compiled anew for each model, for most of a minute.
 */

import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readTexts } from "../src/image/metadata/metadata.js";
import { DiffusionPipeline, EulerDiscreteScheduler } from "../src/index.js";
import { type App, type AppOptions, openApp } from "./browser-app.js";
import { distance, goldenRun, runNames } from "./golden-runs.js";
import { psnr } from "./psnr.js";

const nano = {
  ...{ model: "nano", folder: path.resolve("models/nano") },
  request: { prompt: "a red apple, flat icon", seed: 7 },
  options: {} as Pick<AppOptions, "euler">,
};
const runs = [...(await Promise.all(runNames.map(goldenRun))), nano];

const onGpu: AppOptions = { device: "webgpu", allowSoftwareAdapter: true };

let app: App;
beforeAll(async () => {
  const models = Object.fromEntries(runs.map(({ model, folder }) => [model, folder]));
  app = await openApp(models, { webGpu: true });
  // `loseDevice` has the device that was opened last destroyed within its next commands.
  await app.page.evaluate(`{
    const request = GPUAdapter.prototype.requestDevice;
    GPUAdapter.prototype.requestDevice = async function (...of) {
      const device = await request.apply(this, of);
      globalThis.loseDevice = () => {
        device.queue.submit = function (...of) {
          delete device.queue.submit;
          device.destroy();
          return device.queue.submit(...of);
        };
      };
      return device;
    };
  }`);
});
afterAll(() => app?.close());

describe("WebGPU in a browser", { timeout: 600_000 }, () => {
  it("must be permitted to be a software adapter, and auto takes the cpu", async () => {
    const request = { ...nano.request, numInferenceSteps: 1 };
    await expect(app.generate("nano", request, { device: "webgpu" })).rejects.toThrow(
      /got "webgpu": its driver is swiftshader, which computes on the cpu .* allowSoftwareAdapter/,
    );
    const { device, reason } = await app.generate("nano", request);
    expect(device).toBe("cpu");
    expect(reason).toMatch(/^no other device can be used; webgpu: its driver is swiftshader/);
  });

  it.each(runs)("generates with $model as the CPU does, and the PNG names the device", async (run) => {
    const { model, folder, options } = run;
    const request = { ...run.request, numInferenceSteps: 2 };
    const { device, reason, png, latents, data } = await app.generate(model, request, {
      ...onGpu,
      ...options,
    });
    expect(device).toBe("webgpu");
    expect(reason).toBe("asked for; computed by swiftshader, a software adapter");
    const { record } = await readTexts(Uint8Array.from(png));
    expect(JSON.parse(record!)).toMatchObject({ device: "webgpu" });
    await using pipeline = await DiffusionPipeline.fromPretrained(folder);
    const { scheduler } = pipeline;
    if (options.euler)
      pipeline.scheduler = EulerDiscreteScheduler.fromConfig(scheduler.config, options.euler);
    const expected = await pipeline.generate(request);
    expect(distance(latents, expected.latents)).toBeLessThan(1e-3);
    expect(psnr(data, expected.images[0]!.data)).toBeGreaterThan(60);
  });

  it("says that a device was lost in the middle of a run, and the next run opens it anew", async () => {
    const request = { ...nano.request, numInferenceSteps: 2 };
    await app.page.evaluate("onStep = () => { loseDevice(); onStep = undefined; }");
    await expect(app.generate("nano", request, onGpu)).rejects.toThrow(
      /DeviceLostError: unet: webgpu was lost: its driver reset it or it was removed\. Try again/,
    );
    expect((await app.generate("nano", request, onGpu)).device).toBe("webgpu");
  });
});
