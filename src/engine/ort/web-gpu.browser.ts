/**
 * @file The graphics device of a page or Worker, of which there is one at a time: opened at the first use, and anew after
 * it was lost.
 */

/** What ONNX Runtime uses where it is there. */
const features = ["shader-f16", "subgroups"] as const satisfies readonly GPUFeatureName[];

/** Of these ONNX Runtime's kernels use as much as there is. */
const limits = [
  ...["maxBufferSize", "maxStorageBufferBindingSize", "maxStorageBuffersPerShaderStage", "maxBindGroups"],
  ...["maxComputeWorkgroupStorageSize", "maxComputeInvocationsPerWorkgroup"],
  ...["maxComputeWorkgroupSizeX", "maxComputeWorkgroupSizeY", "maxComputeWorkgroupSizeZ"],
  "maxComputeWorkgroupsPerDimension",
] as readonly (keyof GPUSupportedLimits & string)[];

/** The adapter that a page gets; undefined where there is none, or no WebGPU. */
export async function findAdapter(): Promise<GPUAdapter | undefined> {
  // Only pages from https or this machine have it.
  const gpu = navigator.gpu as GPU | undefined;
  return (await gpu?.requestAdapter({ powerPreference: "high-performance" })) ?? undefined;
}

export class WebGpu {
  readonly device: GPUDevice;
  /** Why it was lost. */
  lost: string | undefined;
  readonly #ended: Promise<never>;
  /** What a command was refused for, or failed by: WebGPU tells of it apart from the command. */
  #error: string | undefined;

  private constructor(device: GPUDevice) {
    this.device = device;
    this.#ended = device.lost.then(({ message, reason }) => {
      this.lost = message || reason;
      throw new Error(`the device was lost: ${this.lost}`);
    });
    this.#ended.catch(() => {});
    device.addEventListener("uncapturederror", ({ error }) => {
      const kind = error instanceof GPUOutOfMemoryError ? "out of memory: " : "";
      this.#error ??= kind + error.message;
    });
  }

  static #opened: Promise<WebGpu> | undefined;

  /** The one that is open, or a new one. */
  static async open(): Promise<WebGpu> {
    const opened = await WebGpu.#opened?.catch(() => undefined);
    if (opened && opened.lost === undefined) return opened;
    const opening = WebGpu.#request();
    WebGpu.#opened = opening;
    return opening;
  }

  static async #request(): Promise<WebGpu> {
    const adapter = await findAdapter();
    if (!adapter) throw new Error("Failed to get a WebGPU adapter");
    const device = await adapter.requestDevice({
      requiredFeatures: features.filter((feature) => adapter.features.has(feature)),
      requiredLimits: Object.fromEntries(limits.map((name) => [name, adapter.limits[name] as number])),
    });
    return new WebGpu(device);
  }

  /** What `action` results in; an error where the device is lost meanwhile, or a command of it failed. */
  async run<T>(action: () => Promise<T>): Promise<T> {
    const result = await Promise.race([action(), this.#ended]);
    const error = this.#error;
    this.#error = undefined;
    if (error !== undefined) throw new Error(error);
    return result;
  }
}
