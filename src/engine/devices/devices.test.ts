/**
 * @file Devices on simulated machines: drivers that are missing, compute on the CPU, get an operator wrong or lose the
 * device. A simulated driver is an engine on the CPU that a fault is put into.
 */

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { DeviceLostError, DeviceMemoryError, EngineError } from "../../errors.js";
import { cpu, deviceOf } from "../device.js";
import { type Engine, floats, type Values } from "../engine.js";
import { findDevice } from "../find-device.js";
import { noticeText } from "../notices.js";
import { blockingEngine, type EngineOptions } from "../ort/blocking-engine.js";
import { engineError } from "../ort/engine-errors.js";
import { adapterOf, loadedDrivers } from "./drivers.js";
import { examine } from "./examine.js";
import { deviceCache, keptResult } from "./kept-results.js";
import type { Machine } from "./machine.js";
import { missingFor, whyNotOpened } from "./missing.js";
import { computedOnCpu, countedOperations, placedNodes } from "./placement.js";
import { thisMachine } from "./this-machine.js";

const folder = mkdtempSync(path.join(tmpdir(), "koala-devices-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** What a driver does to the results of a program, or throws. */
type Fault = (program: string, results: Record<string, Values>) => Record<string, Values>;

/** An engine that says it is on `device` and computes on the CPU, with a fault. */
function faultyEngine({ device = cpu, ...options }: EngineOptions, fault: Fault): Engine {
  const inner = blockingEngine({ ...options, device: { ...device, provider: "cpu" } });
  return {
    ...inner,
    device,
    load: async (program) => {
      const session = await inner.load(program);
      return { ...session, run: async (inputs) => fault(program.name, await session.run(inputs)) };
    },
  };
}

let machines = 0;
const machine = (
  fault: Fault = (_, results) => results,
  { cache = path.join(folder, `${machines++}.json`), ...more }: Partial<Machine> & { cache?: string } = {},
): Machine & { runs: string[]; cache: string } => {
  const runs: string[] = [];
  return {
    ...thisMachine,
    runs,
    missing: async (provider) =>
      provider === "webgpu" ? undefined : `${provider} is not installed. Install it.`,
    engine: (options) =>
      options.device?.provider === "webgpu"
        ? faultyEngine(options, (name, results) => {
            runs.push(name);
            return fault(name, results);
          })
        : blockingEngine(options),
    drivers: () => ({ libraries: ["/lib/libvulkan_radeon.so"], software: undefined }),
    cache,
    tested: (key, test) => keptResult(key, test, { at: cache }),
    ...more,
  };
};

const off = (values: Values): Values =>
  floats(
    (values.data as Float32Array).map((v) => 1.05 * v),
    ...values.shape,
  );
const wrong =
  (operator: string): Fault =>
  (program, results) =>
    program.includes(operator)
      ? Object.fromEntries(Object.entries(results).map(([name, v]) => [name, off(v)]))
      : results;

describe("a device that passes its self-test", () => {
  it("has every operator of its table, and is tested once for a driver", async () => {
    const good = machine();
    const { device, warnings } = await findDevice({ device: "webgpu" }, good);
    expect(device).toEqual(deviceOf("webgpu"));
    expect(warnings).toEqual([]);
    const runs = good.runs.length;
    expect(runs).toBeGreaterThan(8);
    await findDevice({ device: "webgpu" }, good);
    expect(good.runs.slice(runs)).toEqual(["probe"]);
    const drivers = () => ({ libraries: ["/lib/libvulkan_radeon.so.2"], software: undefined });
    await findDevice({ device: "webgpu" }, { ...good, drivers });
    expect(good.runs.length).toBe(2 * runs + 1);
  });

  it("is what auto takes, which says what it looked at before", async () => {
    const { device, reason } = await findDevice({ device: "auto" }, machine());
    expect(device.name).toBe("webgpu");
    expect(reason).toBe(
      "the best device that passed its self-test; cuda: cuda is not installed; computed by Mesa's driver for AMD",
    );
  });

  it("is tested again where the kept results are broken", async () => {
    const good = machine();
    writeFileSync(good.cache, '{"entries": [{"key": 1');
    await findDevice({ device: "webgpu" }, good);
    expect(JSON.parse(readFileSync(good.cache, "utf8")).entries).toHaveLength(1);
  });

  it("is tested each time where nothing can be kept", async () => {
    const home = () => {
      throw new Error("uv_os_homedir returned ENOENT");
    };
    expect(deviceCache({}, home)).toBeUndefined();
    expect(deviceCache({ XDG_CACHE_HOME: "/caches" }, home)).toBe("/caches/koala-diffusion/devices.json");
    const underFile = path.join(folder, "file", "devices.json");
    writeFileSync(path.dirname(underFile), "");
    for (const at of [undefined, underFile]) {
      const good = machine(undefined, { tested: (key, test) => keptResult(key, test, { at }) });
      for (const tests of [1, 2]) {
        expect((await findDevice({ device: "webgpu" }, good)).device.name).toBe("webgpu");
        expect(good.runs.filter((name) => name.includes("LayerNormalization"))).toHaveLength(tests);
      }
    }
  });
});

describe("a driver that gets an operator wrong", () => {
  it("has attention composed if it is attention's, and says so", async () => {
    const { device, warnings } = await findDevice({ device: "webgpu" }, machine(wrong("MultiHeadAttention")));
    expect(device).toEqual({ ...deviceOf("webgpu"), fusedAttention: false });
    expect(warnings).toEqual([
      expect.stringMatching(
        /^device: on webgpu MultiHeadAttention is 5\.0e-2 from the cpu's result, so it is not used/,
      ),
    ]);
  });

  it("is refused if there is no other way to compute it; auto takes the cpu", async () => {
    const bad = machine(wrong("Conv"));
    await expect(findDevice({ device: "webgpu" }, bad)).rejects.toThrow(
      /^device: must be one that this machine has, got "webgpu": it failed its self-test: Conv is 5.0e-2 from/,
    );
    const { device, reason } = await findDevice({ device: "auto" }, bad);
    expect(device.name).toBe("cpu");
    expect(reason).toMatch(
      /^no other device can be used; cuda: .*; webgpu: it failed its self-test: Conv is/,
    );
  });

  it("is tested again where a check did not run, as with too little memory", async () => {
    let full = true;
    const busy = machine((program, results) => {
      if (full && program.includes("Conv")) throw new DeviceMemoryError(program, new Error("no memory left"));
      return results;
    });
    await expect(findDevice({ device: "webgpu" }, busy)).rejects.toThrow(
      /its self-test: Conv no memory left/,
    );
    full = false;
    expect((await findDevice({ device: "webgpu" }, busy)).device.name).toBe("webgpu");
  });

  it("has no half precision if its probe fails", async () => {
    const without = machine((program, results) => {
      if (program.includes("half")) throw new EngineError(program, new Error("requires f16"));
      return results;
    });
    const found = await examine("webgpu", { dtype: "float16" }, without);
    expect(found.problem).toBe("it has no half precision: requires f16. Use dtype float32.");
    const best = await findDevice({ device: "auto", dtype: "float16" }, without);
    expect(best.device).toMatchObject({ name: "webgpu", dtype: "float32", weightsAsStored: false });
    expect(best.warnings).toEqual([
      expect.stringMatching(
        /^dtype: float16 has no arithmetic of its own on webgpu here, so float32 is used/,
      ),
    ]);
  });
});

describe("a machine without the device", () => {
  it("says what is missing and what brings it", async () => {
    const absent = async () => false;
    expect(await missingFor("cuda", { platform: "linux", arch: "x64" }, absent)).toMatch(
      /^libonnxruntime_providers_cuda\.so is not installed\. Run `npm install-scripts approve onnxruntime-node` and/,
    );
    expect(await missingFor("webgpu", { platform: "linux", arch: "arm64" }, absent)).toBe(
      "onnxruntime-node has WebGPU for linux-x64, win32-x64, win32-arm64, darwin-arm64, not for linux-arm64.",
    );
    expect(await missingFor("coreml", { platform: "darwin", arch: "x64" }, absent)).toMatch(
      /not for darwin-x64/,
    );
  });

  it("that has CUDA's provider says what of CUDA is missing", () => {
    const why = (message: string) => whyNotOpened("cuda", new Error(message));
    const library = (name: string) => `Failed to load libonnxruntime_providers_cuda.so: ${name}: cannot open`;
    expect(why(library("libcudnn.so.9"))).toMatch(/^cuDNN 9 is not installed.*says: .*libcudnn\.so\.9/);
    expect(why(library("libcublasLt.so.12"))).toMatch(/^CUDA 12 is not installed/);
    expect(why("CUDA failure 100: no CUDA-capable device is detected ; GPU=0")).toMatch(/^no NVIDIA card/);
    expect(why("CUDA failure 101: invalid device ordinal ; GPU=9")).toMatch(
      /^there is no card of this number/,
    );
    expect(why("something else")).toMatch(/^CUDA does not open\. Run `npm install-scripts approve/);
  });

  it("has no adapter where ONNX Runtime finds none", async () => {
    const message =
      "/src/onnxruntime/core/webgpu_context.cc:136 f() r.status == ok was false. Failed to get a WebGPU adapter";
    const none = machine(() => {
      throw new EngineError("probe", new Error(message));
    });
    const { problem } = await examine("webgpu", {}, none);
    expect(problem).toMatch(/^no graphics adapter was found\. .*says: Failed to get a WebGPU adapter\.$/);
  });
});

describe("a driver that computes on the cpu", () => {
  const line = (file: string) => `7f00-7f01 r-xp 00000000 fd:01 12 ${file}`;
  const lavapipe = line("/usr/lib/x86_64-linux-gnu/libvulkan_lvp.so");
  const radeon = line("/usr/lib/x86_64-linux-gnu/libvulkan_radeon.so");

  it("is known by the libraries that are loaded, beside drivers of cards that are not there", () => {
    expect(loadedDrivers(lavapipe, () => false).software).toBe("lavapipe");
    expect(loadedDrivers(`${lavapipe}\n${radeon}`, () => false).software).toBe("lavapipe");
    expect(loadedDrivers(`${lavapipe}\n${radeon}`, () => true).software).toBeUndefined();
    expect(loadedDrivers(lavapipe, () => true).software).toBe("lavapipe");
    expect(loadedDrivers(line("/opt/chrome/libvk_swiftshader.so"), () => true).software).toBe("SwiftShader");
    expect(loadedDrivers("", () => true)).toEqual({ libraries: [], software: undefined });
  });

  it("is named, as is a card's driver where only one maker's is loaded", () => {
    const named = (...files: string[]) => adapterOf(loadedDrivers(files.join("\n"), () => true));
    expect(named(lavapipe)).toBe("lavapipe, a software adapter");
    expect(named(lavapipe, radeon)).toBe("Mesa's driver for AMD");
    expect(named(line("/usr/lib/libGLX_nvidia.so.550.54"), line("/usr/lib/libcuda.so.550.54"))).toBe(
      "NVIDIA's driver",
    );
    expect(named(radeon, line("/usr/lib/libvulkan_intel.so"))).toBeUndefined();
    expect(named()).toBeUndefined();
  });

  it("is refused unless it is permitted", async () => {
    const drivers = () => ({ libraries: ["/lib/libvulkan_lvp.so"], software: "lavapipe" });
    const slow = machine(undefined, { drivers });
    await expect(findDevice({ device: "webgpu" }, slow)).rejects.toThrow(/"webgpu": its driver is lavapipe/);
    const permitted = await findDevice({ device: "webgpu", allowSoftwareAdapter: true }, slow);
    expect(permitted.device.name).toBe("webgpu");
    expect(permitted.reason).toBe("asked for; computed by lavapipe, a software adapter");
  });
});

describe("a profile", () => {
  const event = (name: string, op_name: string, provider: string, type: string) => ({
    ...{ cat: "Node", name: `${name}_kernel_time`, dur: 1 },
    args: { op_name, provider, input_type_shape: [{ [type]: [2, 2] }] },
  });

  it("names what computed on the cpu: not shapes, not copies", () => {
    const profile = JSON.stringify([
      { cat: "Session", name: "model_run", args: {} },
      event("MatMul_1", "MatMul", "WebGpuExecutionProvider", "float"),
      event("FusedMatMul_2", "FusedMatMul", "CPUExecutionProvider", "float"),
      event("Conv_3", "Conv", "CPUExecutionProvider", "float16"),
      event("Conv_4", "Conv", "CPUExecutionProvider", "float16"),
      event("Mul_5", "Mul", "CPUExecutionProvider", "int64"),
      event("Concat_6", "Concat", "CPUExecutionProvider", "float"),
    ]);
    const found = computedOnCpu(placedNodes(profile));
    expect(found.map(({ name }) => name)).toEqual(["FusedMatMul_2", "Conv_3", "Conv_4"]);
    expect(countedOperations(found)).toBe("1 FusedMatMul and 2 Conv");
  });
});

describe("an engine on a simulated driver", () => {
  it("reports the first run of a program, and what runs on the cpu where that is allowed", () => {
    const notices = [
      { type: "compiling", program: "unet", device: "webgpu" },
      { type: "cpuFallback", program: "unet", device: "webgpu", operations: "2 Conv" },
    ] as const;
    expect(notices.map(noticeText)).toEqual([
      "unet: compiling shaders for webgpu; the first run takes longer",
      "unet: 2 Conv run on the cpu, since webgpu has no kernel for them",
    ]);
  });
});

describe("what a driver throws", () => {
  const webgpu = deviceOf("webgpu");

  it.each([
    ["WebGPU device lost (2): Device was destroyed.", DeviceLostError],
    ["CUDA failure 719: unspecified launch failure ; GPU=0", DeviceLostError],
    ["887A0006 The GPU will not respond to more commands", DeviceLostError],
    ["Failed to allocate memory for requested buffer of size 671088640", DeviceMemoryError],
    ["CUDA failure 2: out of memory ; GPU=0", DeviceMemoryError],
    ["VK_ERROR_OUT_OF_DEVICE_MEMORY", DeviceMemoryError],
    ["Non-zero status code returned", EngineError],
  ])("%s has its class and names the program", (message, kind) => {
    const error = engineError("unet", new Error(message), webgpu);
    expect(error.constructor).toBe(kind);
    expect(error.message).toMatch(/^unet: /);
    expect(error.message).toContain(message.trim());
  });

  it("on the cpu is an EngineError as before", () => {
    expect(engineError("unet", new Error("Failed to allocate memory"), cpu).constructor).toBe(EngineError);
  });
});
