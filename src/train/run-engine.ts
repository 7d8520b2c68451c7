/** @file The engine of a training run, on the device that its settings name. */

import { noticeText } from "../engine/notices.js";
import { openBlockingEngine } from "../engine/open-engine.js";
import type { BlockingEngine } from "../engine/ort/blocking-engine.js";
import type { TrainingRun } from "./run-options.js";

/** The run with its engine, and in its settings the device that was taken. InvalidRequest, EngineError. */
export async function withEngine(run: TrainingRun): Promise<TrainingRun & { engine: BlockingEngine }> {
  const { device: asked, threads, allowCpuFallback, allowSoftwareAdapter } = run.options;
  const engine = await openBlockingEngine({
    ...{ device: asked, threads, allowCpuFallback, allowSoftwareAdapter },
    onNotice: (notice) => {
      if (notice.type === "cpuFallback") run.onEvent({ type: "warning", message: noticeText(notice) });
    },
  });
  const { name: device } = engine.device;
  if (asked !== "cpu") run.onEvent({ type: "device", device, reason: engine.reason });
  for (const message of engine.warnings) run.onEvent({ type: "warning", message });
  return { ...run, engine, options: { ...run.options, device } };
}
