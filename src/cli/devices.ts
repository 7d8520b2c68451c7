/** @file `koala devices`: lists the devices that this machine could generate on, what each lacks, and its self-test. */

import { Command } from "commander";
import { type Device, type Provider, providers } from "../engine/device.js";
import { type Examined, examine } from "../engine/devices/examine.js";
import type { Machine } from "../engine/devices/machine.js";
import type { Checked } from "../engine/devices/self-test-result.js";
import { thisMachine } from "../engine/devices/this-machine.js";
import { bold } from "./colors.js";
import { textTable } from "./table.js";

/** Those whose code was written from documentation and has not been run. */
const untested: readonly Provider[] = ["cuda", "dml", "coreml"];

type DeviceRow = {
  device: string;
  /** `software` computes on the CPU: it can be used, and must be permitted. */
  state: "ready" | "software" | "unusable";
  /** Why it is not to be used, and the remedy. */
  problem?: string;
  /** The driver, if it computes on the CPU. */
  software?: string;
  /** The adapter in words, where the system tells. */
  adapter?: string;
  /** Whether it computes in half precision, where that was probed. */
  half?: boolean;
  untested: boolean;
  checks: readonly Checked[];
  /** What its programs are written with. */
  capabilities: Device;
};

export function devicesCommand(machine: Machine = thisMachine): Command {
  return new Command("devices")
    .description(
      "List the devices that images can be generated on, what is missing for the others, and the self-test of each: " +
        "its operators compared with the cpu's. The first time takes seconds; the result is kept for each driver.",
    )
    .option("--json", "print JSON")
    .addHelpText("after", '\nExample:\n  koala devices\n  koala generate "a red apple" --device webgpu\n')
    .action(async ({ json }: { json?: boolean }) => {
      const devices: DeviceRow[] = [];
      // One after the other: two at once on one graphics card end the process.
      for (const provider of providers)
        devices.push(row(await examine(provider, { allowSoftwareAdapter: true }, machine)));
      process.stdout.write(json ? `${JSON.stringify({ devices }, undefined, 2)}\n` : text(devices));
    });
}

function row({ device, problem, software, adapter, selfTest }: Examined): DeviceRow {
  const { fused = {}, sines, required = [], half } = selfTest ?? {};
  return {
    device: device.name,
    state: problem !== undefined ? "unusable" : software !== undefined ? "software" : "ready",
    ...(problem !== undefined && { problem }),
    ...(software !== undefined && { software }),
    ...(adapter !== undefined && { adapter }),
    ...(half && { half: half.passed }),
    untested: untested.includes(device.provider),
    checks: [...Object.values(fused), ...(sines ? [sines] : []), ...required, ...(half ? [half] : [])],
    capabilities: device,
  };
}

function text(rows: readonly DeviceRow[]): string {
  const columns = [{ title: "device" }, { title: "state" }, { title: "half precision" }, { title: "" }];
  const cells = rows.map((r) => [
    r.device,
    r.state,
    r.half === undefined ? "-" : r.half ? "yes" : "no",
    note(r),
  ]);
  const tests = rows.filter(({ checks }) => checks.length > 0).map(selfTestText);
  return [textTable(columns, cells), ...tests].join("\n");
}

function note({ device, problem, software, adapter, untested }: DeviceRow): string {
  const label = untested ? "Untested: written from documentation. " : "";
  if (problem !== undefined) return label + problem;
  if (software !== undefined)
    return `${adapter}: computes on the cpu; taken only with --allow-software-adapter.`;
  if (device === "cpu") return "Always there; the default.";
  return adapter === undefined ? label : `${label}By ${adapter}.`;
}

function selfTestText({ device, checks }: DeviceRow): string {
  const failed = checks.filter(({ passed }) => !passed);
  const title = `self-test of ${device}: ${checks.length - failed.length} of ${checks.length} passed`;
  const list = checks.map(({ name, passed, error, reason }) => [
    `  ${name}`,
    passed ? "ok" : "FAIL",
    error === undefined ? "" : error.toExponential(1),
    passed ? "" : (reason ?? ""),
  ]);
  const columns = [{ title: "  operator" }, { title: "" }, { title: "error", numeric: true }, { title: "" }];
  return `${bold(title)}\n${textTable(columns, list)}`;
}
