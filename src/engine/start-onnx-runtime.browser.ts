/** @file Has a browser load and compile ONNX Runtime before it is needed, which takes a second or more. */

import { input, silu } from "../tensor/operations.js";
import { lower } from "./lower.js";
import { type DeviceOptions, openEngine } from "./open-engine.browser.js";

/** Runs nothing; throws what opening an engine and loading a program do. */
export async function startOnnxRuntime(options: DeviceOptions): Promise<void> {
  const engine = await openEngine(options);
  const session = await engine.load(lower("start", { y: silu(input("x", [1])) }));
  await session.release();
  await engine.close();
}
