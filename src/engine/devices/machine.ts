/** @file What examining a device asks of the machine: this one, in Node or a browser, or one that a test simulates. */

import type { Device, Provider } from "../device.js";
import type { Engine } from "../engine.js";
import type { SelfTestResult } from "./self-test-result.js";

/** The drivers of an open device. */
export type Drivers = {
  /** What tells one driver from another, such as paths of its libraries; empty where the system does not tell. */
  readonly libraries: readonly string[];
  /** The name of the driver that computes on the CPU, if the adapter must be its. */
  readonly software: string | undefined;
};

export type Machine = {
  /** What `auto` looks for, the best first. */
  readonly best: readonly Exclude<Provider, "cpu">[];
  /** Why the provider cannot be used, with the remedy, as far as that is known without opening it. */
  missing(provider: Provider): Promise<string | undefined>;
  /** What it means that ONNX Runtime could not open a session on a provider, with the remedy. */
  whyNotOpened(provider: Provider, error: unknown): string;
  /** An engine on a device, in the calling thread. */
  engine(options: { device: Device; threads: number; allowCpuFallback?: boolean }): Engine;
  drivers(): Drivers;
  /** The adapter in words, where the system tells. */
  adapterOf(drivers: Drivers): string | undefined;
  /** What a self-test's result depends on besides: the versions of ONNX Runtime, the system and the drivers' files. */
  versions(drivers: Drivers): Promise<readonly string[]>;
  /** What an earlier self-test found under `key`, else what `test` finds now. */
  tested(key: string, test: () => Promise<SelfTestResult>, drivers: Drivers): Promise<SelfTestResult>;
};
