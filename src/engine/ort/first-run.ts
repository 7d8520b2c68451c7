/**
 * @file The first run of a program on a graphics device: it compiles shaders, and its profile says whether an operation
 * ran on the CPU, which is an error unless it is allowed.
 */

import { tmpdir } from "node:os";
import type { InferenceSession } from "onnxruntime-node";
import { EngineError } from "../../errors.js";
import { mkdtemp, readdir, readText, rm } from "../../files/file-system.js";
import path from "../../files/path.js";
import type { Device } from "../device.js";
import { computedOnCpu, countedOperations, type PlacedNode, placedNodes } from "../devices/placement.js";
import type { EngineNotice } from "../notices.js";

type FirstRunOptions = {
  device: Device;
  allowCpuFallback: boolean;
  onNotice: (notice: EngineNotice) => void;
};

/** Profiles one session. */
type Profiler = {
  /** To be added to the session's options. */
  readonly options: InferenceSession.SessionOptions;
  /** What the runs so far placed where; ends the profile, which is to be done once. */
  nodes(session: InferenceSession): Promise<PlacedNode[]>;
  /** Removes the profile of a session that was not made. */
  discard(): Promise<void>;
};

export async function profiler(): Promise<Profiler> {
  const folder = await mkdtemp(path.join(tmpdir(), "koala-profile-"));
  const discard = () => rm(folder, { recursive: true, force: true });
  return {
    discard,
    options: { enableProfiling: true, profileFilePrefix: path.join(folder, "run") },
    nodes: async (session) => {
      try {
        session.endProfiling();
        const files = await readdir(folder);
        const profiles = await Promise.all(files.map((file) => readText(path.join(folder, file))));
        return profiles.flatMap(placedNodes);
      } finally {
        await discard();
      }
    },
  };
}

/** Checks a program's first run; EngineError for operations that ran on the CPU and may not. */
export function checkPlacement(
  program: string,
  nodes: readonly PlacedNode[],
  { device, allowCpuFallback, onNotice }: FirstRunOptions,
): void {
  const strays = computedOnCpu(nodes);
  if (strays.length === 0) return;
  const operations = countedOperations(strays);
  if (!allowCpuFallback) {
    const rule = `must run on ${device.name} whole, got ${operations} that would run on the cpu`;
    const remedy = "Permit it with allowCpuFallback (--allow-cpu-fallback), or use the cpu for all.";
    throw new EngineError(program, new Error(`${rule}, such as ${strays[0]!.name}. ${remedy}`));
  }
  onNotice({ type: "cpuFallback", program, device: device.name, operations });
}
