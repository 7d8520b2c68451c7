/** @file What a machine lacks for a provider, and the command that brings it, as far as that is known without trying. */

import { createRequire } from "node:module";
import { listSupportedBackends } from "onnxruntime-node";
import { kindOf } from "../../files/file-system.js";
import path from "../../files/path.js";
import type { Provider } from "../device.js";
import { plainMessage } from "./self-test-result.js";

type System = { platform: NodeJS.Platform; arch: NodeJS.Architecture };

/** The systems for which onnxruntime-node 1.30 has a provider. */
const systems: Readonly<Record<Exclude<Provider, "cpu">, readonly `${string}-${string}`[]>> = {
  webgpu: ["linux-x64", "win32-x64", "win32-arm64", "darwin-arm64"],
  cuda: ["linux-x64"],
  dml: ["win32-x64", "win32-arm64"],
  coreml: ["darwin-arm64"],
};

const names: Readonly<Record<Provider, string>> = {
  cpu: "the CPU",
  webgpu: "WebGPU",
  cuda: "CUDA",
  dml: "DirectML",
  coreml: "Core ML",
};

/** npm 11 and later run no install script that is not approved, and this one fetches the libraries. */
const installCuda =
  "Run `npm install-scripts approve onnxruntime-node` and `npm rebuild onnxruntime-node` (with npm 10 or older the " +
  "second alone); CUDA 12 and cuDNN 9 must be installed.";

/** Why the provider cannot be used on this system, with the remedy; undefined if nothing is known to be missing. */
export async function missingFor(
  provider: Provider,
  { platform, arch }: System = process,
  hasFile: (name: string) => Promise<boolean> = besideBinding,
): Promise<string | undefined> {
  if (provider === "cpu") return undefined;
  const here = `${platform}-${arch}` as const;
  if (!systems[provider].includes(here)) {
    const list = systems[provider].join(", ");
    return `onnxruntime-node has ${names[provider]} for ${list}, not for ${here}.`;
  }
  if (provider === "cuda" && !(await hasFile("libonnxruntime_providers_cuda.so")))
    return `libonnxruntime_providers_cuda.so is not installed. ${installCuda}`;
  const supported = listSupportedBackends().some(({ name }) => name === provider);
  return supported || platform !== process.platform
    ? undefined
    : `this build of onnxruntime-node has no ${names[provider]}. Install the package from npm.`;
}

/** Whether a file lies beside ONNX Runtime's own library. */
async function besideBinding(name: string): Promise<boolean> {
  const root = path.dirname(createRequire(import.meta.url).resolve("onnxruntime-node/package.json"));
  const folder = path.join(root, "bin", "napi-v6", process.platform, process.arch);
  return (await kindOf(path.join(folder, name))) === "file";
}

/** What it means that ONNX Runtime could not open a session on a provider, with the remedy. */
export function whyNotOpened(provider: Provider, error: unknown): string {
  const message = plainMessage(error instanceof Error ? error.message : String(error)).replace(
    /^probe: /,
    "",
  );
  const found = `ONNX Runtime says: ${message.replace(/\.?$/, ".")}`;
  if (provider === "webgpu" && /adapter/i.test(message))
    return `no graphics adapter was found. ${driverFor()} ${found}`;
  if (provider !== "cuda") return found;
  const [, cause] = cudaCauses.find(([pattern]) => pattern.test(message)) ?? [];
  return `${cause ?? `CUDA does not open. ${installCuda}`} ${found}`;
}

const byLoader = "is not installed, or not where the loader looks (LD_LIBRARY_PATH, ldconfig).";

/** From CUDA's list of errors and the names of its libraries; none of them was seen by us. */
const cudaCauses: readonly (readonly [RegExp, string])[] = [
  [/libcudnn\w*\.so/, `cuDNN 9 ${byLoader}`],
  [/lib(cublas|cudart|cufft|curand|nvrtc)\w*\.so/, `CUDA 12 ${byLoader}`],
  [/no memory left|out of memory/, "the card has no memory left. Close what else uses it."],
  [
    /libcuda\.so|(failure|error) 100\b|no CUDA-capable/,
    "no NVIDIA card and driver were found. `nvidia-smi` must list one; in a container, pass it on (`docker run --gpus all`).",
  ],
  [
    /(failure|error) 101\b|invalid device ordinal/,
    "there is no card of this number. `nvidia-smi --list-gpus` lists them.",
  ],
  [
    /(failure|error) 35\b|driver version is insufficient/,
    "NVIDIA's driver is too old for CUDA 12. Update it.",
  ],
];

const driverFor = (): string =>
  process.platform === "linux"
    ? "Install a Vulkan driver: your card's, or mesa-vulkan-drivers 25 or later; `vulkaninfo --summary` lists them."
    : "Install your graphics card's driver.";
