/**
 * @file Examines a device: whether it is there, whether it is a graphics card, what its self-test says. What the
 * device's lowering may use follows from that.
 */

import { createRequire } from "node:module";
import { release } from "node:os";
import { stat } from "../../files/file-system.js";
import { add, input } from "../../tensor/operations.js";
import { cpu, type Device, deviceOf, type Precision, type Provider } from "../device.js";
import type { Engine } from "../engine.js";
import { lower } from "../lower.js";
import { blockingEngine, type EngineOptions } from "../ort/blocking-engine.js";
import { adapterOf, type Drivers, loadedDrivers } from "./drivers.js";
import { deviceCache, keptResult } from "./kept-results.js";
import { missingFor, whyNotOpened } from "./missing.js";
import { type Checked, provenDevice, type SelfTestResult, selfTest } from "./self-test.js";

/** What is asked of the machine. Tests simulate drivers by another one. */
export type Machine = {
  missing(provider: Provider): Promise<string | undefined>;
  /** An engine on a device, in the calling thread. */
  engine(options: EngineOptions): Engine;
  drivers(): Drivers;
  /** The file that keeps self-tests' results; they are not kept if there is none. */
  readonly cache: string | undefined;
};

export const thisMachine: Machine = {
  missing: (provider) => missingFor(provider),
  engine: blockingEngine,
  drivers: () => loadedDrivers(),
  get cache() {
    return deviceCache();
  },
};

type ExamineOptions = {
  index?: number;
  dtype?: Precision;
  allowCpuFallback?: boolean;
  allowSoftwareAdapter?: boolean;
};

/** What was found of a device. `problem` says in a sentence why it cannot be used, with the remedy. */
export type Examined = {
  readonly device: Device;
  readonly problem?: string;
  /** The driver, if it computes on the CPU. */
  readonly software?: string;
  /** The adapter in words, where the system tells. */
  readonly adapter?: string;
  readonly selfTest?: SelfTestResult;
};

export async function examine(
  provider: Provider,
  options: ExamineOptions = {},
  machine: Machine = thisMachine,
): Promise<Examined> {
  const device = deviceOf(provider, options);
  if (provider === "cpu") return { device };
  const missing = await machine.missing(provider);
  if (missing !== undefined) return { device, problem: missing };
  // The device stays open while a session is on it.
  let probe: Probe;
  try {
    probe = await openProbe(device, machine);
  } catch (error) {
    return { device, problem: whyNotOpened(provider, error) };
  }
  try {
    return await examineOpen(device, options, machine);
  } finally {
    await probe.release();
  }
}

async function examineOpen(
  device: Device,
  { allowCpuFallback = false, allowSoftwareAdapter = false }: ExamineOptions,
  machine: Machine,
): Promise<Examined> {
  const drivers = machine.drivers();
  const adapter = adapterOf(drivers);
  const known = {
    ...(drivers.software !== undefined && { software: drivers.software }),
    ...(adapter !== undefined && { adapter }),
  };
  if (drivers.software !== undefined && !allowSoftwareAdapter) {
    const rule = `its driver is ${drivers.software}, which computes on the cpu and is slower than the cpu itself.`;
    const problem = `${rule} Permit it with allowSoftwareAdapter (--allow-software-adapter).`;
    return { device, ...known, problem };
  }
  const engine = (of: Device, fallback: boolean) =>
    machine.engine({ device: of, threads: 1, allowCpuFallback: fallback });
  const testers = {
    strict: engine(device, false),
    lenient: engine(device, allowCpuFallback),
    reference: engine(cpu, false),
  };
  const key = await keyOf(device, drivers, allowCpuFallback);
  const test = () => selfTest(device, testers);
  const keeping = { at: machine.cache, driverKnown: drivers.libraries.length > 0 };
  const found = await keptResult(key, test, keeping);
  const result = { device: provenDevice(device, found), ...known, selfTest: found };
  const problem = whyRefused(device, found);
  return problem === undefined ? result : { ...result, problem };
}

type Probe = { release(): Promise<void> };

/** A program that any device can run. */
async function openProbe(device: Device, machine: Machine): Promise<Probe> {
  const x = input("x", [1]);
  const session = await machine
    .engine({ device, threads: 1 })
    .load(lower("probe", { y: add(x, x) }, { device }));
  await session.run({ x: { data: Float32Array.of(1), shape: [1] } });
  return session;
}

function whyRefused({ dtype }: Device, { required, half }: SelfTestResult): string | undefined {
  const failed = required.filter(({ passed }) => !passed);
  if (failed.length > 0) {
    const list = failed.map(describe).join("; ");
    return `it failed its self-test: ${list}. Update its driver, or use another device.`;
  }
  if (dtype === "float16" && !half.passed)
    return `it has no half precision: ${half.reason ?? "its probe failed"}. Use dtype float32.`;
  return undefined;
}

/** A failed check in words. */
export const describe = ({ name, reason = "failed" }: Checked): string => `${name} ${reason}`;

/** The device, its driver's files by size and date, and the versions that the result depends on. */
async function keyOf({ name, dtype }: Device, { libraries }: Drivers, fallback: boolean): Promise<string> {
  const { version } = createRequire(import.meta.url)("onnxruntime-node/package.json");
  const files = libraries.map(async (file) => {
    const found = await stat(file).catch(() => undefined);
    return `${file} ${found?.size} ${found?.mtimeMs}`;
  });
  return [
    name,
    dtype,
    fallback,
    version,
    process.platform,
    release(),
    checksVersion,
    ...(await Promise.all(files)),
  ].join("\n");
}

/** To be raised with every change of the checks or of what they lower to. */
const checksVersion = 1;
