/** @file ONNX Runtime's session options of a device: its execution provider, and how far graphs are optimised. */

import type { InferenceSession } from "onnxruntime-node";
import type { Device, Provider } from "../device.js";

type Options = InferenceSession.SessionOptions;
type ProviderConfig = NonNullable<Options["executionProviders"]>[number];

/** Of CUDA and DirectML the Node binding passes on nothing but the number of the device. */
const providerConfig: Readonly<Record<Provider, (index: number) => ProviderConfig>> = {
  cpu: () => "cpu",
  webgpu: () => "webgpu",
  cuda: (deviceId) => ({ name: "cuda", deviceId }),
  dml: (deviceId) => ({ name: "dml", deviceId }),
  coreml: () => "coreml",
};

export const deviceOptions = (
  { provider, index }: Device,
  {
    weightsAsStored = false,
    widensAtLoad = false,
  }: { weightsAsStored?: boolean | undefined; widensAtLoad?: boolean | undefined },
): Options => ({
  executionProviders: [providerConfig[provider](index)],
  // Level "basic" folds the Cast of a weight into a second, wider copy.
  graphOptimizationLevel: weightsAsStored && !widensAtLoad ? "disabled" : "all",
  // DirectML refuses sessions with memory patterns (onnxruntime.ai, DirectML execution provider).
  ...(provider === "dml" && { enableMemPattern: false, executionMode: "sequential" as const }),
});
