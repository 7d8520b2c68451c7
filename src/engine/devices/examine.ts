/**
 * @file Examines a device: whether it is there, whether it is a graphics card, what its self-test says. What the
 * device's lowering may use follows from that.
 */

import { add, input } from "../../tensor/operations.js";
import { cpu, type Device, deviceOf, type Precision, type Provider } from "../device.js";
import { lower } from "../lower.js";
import type { Machine } from "./machine.js";
import { provenDevice, selfTest } from "./self-test.js";
import { describe, type SelfTestResult } from "./self-test-result.js";
import { thisMachine } from "./this-machine.js";

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
  // Browsers name the adapter before it is opened.
  const refused = refuseSoftware(machine, options);
  if (refused) return { device, ...refused };
  // The device stays open while a session is on it.
  let probe: Probe;
  try {
    probe = await openProbe(device, machine);
  } catch (error) {
    return { device, problem: machine.whyNotOpened(provider, error) };
  }
  try {
    return await examineOpen(device, options, machine);
  } finally {
    await probe.release();
  }
}

/** What the system tells of the adapter. */
function knownOf(machine: Machine): Pick<Examined, "software" | "adapter"> {
  const drivers = machine.drivers();
  const adapter = machine.adapterOf(drivers);
  return {
    ...(drivers.software !== undefined && { software: drivers.software }),
    ...(adapter !== undefined && { adapter }),
  };
}

function refuseSoftware(machine: Machine, { allowSoftwareAdapter = false }: ExamineOptions) {
  const known = knownOf(machine);
  if (known.software === undefined || allowSoftwareAdapter) return undefined;
  const rule = `its driver is ${known.software}, which computes on the cpu and is slower than the cpu itself.`;
  const problem = `${rule} Permit it with allowSoftwareAdapter (--allow-software-adapter).`;
  return { ...known, problem };
}

async function examineOpen(device: Device, options: ExamineOptions, machine: Machine): Promise<Examined> {
  const refused = refuseSoftware(machine, options);
  if (refused) return { device, ...refused };
  const known = knownOf(machine);
  const drivers = machine.drivers();
  const { allowCpuFallback = false } = options;
  const engine = (of: Device, fallback: boolean) =>
    machine.engine({ device: of, threads: 1, allowCpuFallback: fallback });
  const testers = {
    strict: engine(device, false),
    lenient: engine(device, allowCpuFallback),
    reference: engine(cpu, false),
  };
  const key = await keyOf(device, allowCpuFallback, await machine.versions(drivers));
  const test = () => selfTest(device, testers);
  const found = await machine.tested(key, test, drivers);
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

/** The device, and the versions that the result depends on. */
const keyOf = ({ name, dtype }: Device, fallback: boolean, versions: readonly string[]): string =>
  [name, dtype, fallback, checksVersion, ...versions].join("\n");

/** To be raised with every change of the checks or of what they lower to. */
const checksVersion = 1;
