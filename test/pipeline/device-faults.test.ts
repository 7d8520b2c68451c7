/** @file A pipeline on a device that is lost, or full, in the middle: an error by name, and the right image afterwards. */

import { expect, it } from "vitest";
import { deviceOf } from "../../src/engine/device.js";
import type { Engine } from "../../src/engine/engine.js";
import { blockingEngine } from "../../src/engine/ort/blocking-engine.js";
import { DeviceLostError, DeviceMemoryError, type EngineError } from "../../src/errors.js";
import { DiffusionPipeline } from "../../src/pipeline/pipeline.js";

const folder = new URL("../../golden/data/pipelines/koala-700m-tiny", import.meta.url).pathname;
const request = { prompt: "a koala", width: 64, height: 64, numInferenceSteps: 2, seed: 1 };

/** WebGPU's programs on the CPU, as on an engine whose device fails with `faults`, one at each call of the U-Net. */
function faultyEngine(faults: (EngineError | undefined)[]): Engine {
  const device = { ...deviceOf("webgpu"), fusedAttention: false };
  const inner = blockingEngine({ threads: 1, device: { ...device, provider: "cpu" } });
  let losses = 0;
  return {
    device,
    load: async (program) => {
      const session = await inner.load(program);
      const before = losses;
      return {
        ...session,
        get lost() {
          return losses !== before;
        },
        run: async (inputs) => {
          if (losses !== before) throw new Error("a program of a lost device was run");
          const fault = program.name === "unet" ? faults.shift() : undefined;
          if (fault instanceof DeviceLostError) losses++;
          if (fault) throw fault;
          return session.run(inputs);
        },
      };
    },
    close: () => inner.close(),
  };
}

it("a device that is lost or full in the middle is an error by name, and the next image is right", async () => {
  const lost = new DeviceLostError("unet", new Error("webgpu was lost"));
  const full = new DeviceMemoryError("unet", new Error("webgpu has no memory left for it"));
  const engine = faultyEngine([undefined, lost, full]);
  const pipe = await DiffusionPipeline.fromPretrained(folder, { engine });
  await expect(pipe.generate(request)).rejects.toBe(lost);
  await expect(pipe.generate(request)).rejects.toBe(full);
  const [image] = (await pipe.generate(request)).images;
  await pipe.close();

  const onCpu = await DiffusionPipeline.fromPretrained(folder, { threads: 1 });
  const [expected] = (await onCpu.generate(request)).images;
  await onCpu.close();
  const apart = expected!.data.map((v, i) => Math.abs(v - image!.data[i]!));
  expect(Math.max(...apart)).toBeLessThanOrEqual(1);
});

it("what a device leaves to the CPU is a warning of this image and the next, and compiling a notice", async () => {
  const inner = blockingEngine({ threads: 1 });
  const engine: Engine = {
    ...inner,
    load: async (program, { onNotice = () => {} } = {}) => {
      const session = await inner.load(program);
      let runs = 0;
      const run: typeof session.run = (inputs) => {
        const about = { program: program.name, device: "webgpu" };
        if (runs++ === 0) onNotice({ type: "compiling", ...about });
        if (runs === 1 && program.name === "vae")
          onNotice({ type: "cpuFallback", operations: "2 Conv", ...about });
        return session.run(inputs);
      };
      return { ...session, run };
    },
  };
  const pipe = await DiffusionPipeline.fromPretrained(folder, { engine });
  const warning = "vae: 2 Conv run on the cpu, since webgpu has no kernel for them";
  const compiling = (program: string) =>
    `${program}: compiling shaders for webgpu; the first run takes longer`;
  for (const programs of [["text_encoder", "text_encoder_2", "unet", "vae"], []]) {
    const [warnings, notices]: string[][] = [[], []];
    const onWarning = (message: string) => void warnings!.push(message);
    const onNotice = (message: string) => void notices!.push(message);
    const result = await pipe.generate({ ...request, onWarning, onNotice });
    const unchecked = "images are not checked: the model ships no safety checker";
    expect(notices).toEqual([...(programs.length > 0 ? [unchecked] : []), ...programs.map(compiling)]);
    for (const list of [warnings, result.warnings, result.images[0]!.warnings])
      expect(list).toContain(warning);
  }
  await pipe.close();
});
