/** @file The network whose prediction a consistency distillation aims at: the student's, with weights that are given, without a gradient. */

import { floatsOf, type Values } from "../../engine/engine.js";
import { lower } from "../../engine/lower.js";
import type { BlockingEngine } from "../../engine/ort/blocking-engine.js";
import { inputsByName, unetInputs } from "../../models/trace.js";
import { unet } from "../../models/unet.js";
import type { UNetConfig } from "../../models/unet-config.js";
import type { WeightsInFiles } from "../../pipeline/component.js";
import type { Tensor } from "../../tensor/tensor.js";
import { trainingDevice } from "../gradient-program.js";
import { trainedParams } from "../lora/adapter.js";
import type { LoraOptions } from "../lora/options.js";
import type { ParameterBuffer } from "../parameter-buffer.js";
import type { StepSize } from "../step.js";

export type TargetNetwork = {
  /** inputs: those of `unetInputs`; others are not read. -> [B, C, H, W] */
  run(weights: Float32Array, inputs: Readonly<Record<string, Values>>): Promise<Float32Array>;
  release(): Promise<void>;
};

/** The graph, and the names of its inputs besides the weights. */
export function targetTrace(
  c: UNetConfig,
  size: StepSize,
  lora: LoraOptions | null,
): { output: Tensor; inputs: readonly string[] } {
  const given = unetInputs(c, size, { fixed: true });
  const output = unet(trainedParams(lora, new Map()), c, given);
  return { output, inputs: [...inputsByName(given).keys()] };
}

type TargetOptions = {
  size: StepSize;
  layout: ParameterBuffer;
  lora?: LoraOptions | null;
  /** Weights that are not in `layout`, by their files or as further inputs. */
  files?: WeightsInFiles | undefined;
  inputs?: Record<string, Values>;
  keepsMemory?: boolean;
};

/** Weights are in `layout`, but for those that a LoRA is trained beside. */
export async function targetNetwork(
  engine: BlockingEngine,
  c: UNetConfig,
  { size, layout, lora = null, files, inputs: held, keepsMemory = true }: TargetOptions,
): Promise<TargetNetwork> {
  const { output, inputs } = targetTrace(c, size, lora);
  const program = lower("target network", { output }, { device: trainingDevice(engine.device), ...files });
  const session = await engine.load(program, { keepsMemory });
  return {
    run: async (weights, all) => {
      const taken = Object.fromEntries(inputs.map((name) => [name, all[name]!]));
      const results = await session.run({ ...held, ...layout.values(weights), ...taken });
      return floatsOf(results.output);
    },
    release: () => session.release(),
  };
}
