/** @file The memory that a tab may allocate. */

/** WebAssembly of 32 bits, which ONNX Runtime is built for, addresses 4 GiB; its own code and stacks take some of it. */
const addressable = 3.5e9;

/** What the browser tells of the machine (Chromium alone does), of which a tab may take half. */
export function availableMemory(): number {
  const { deviceMemory } = navigator as Navigator & { deviceMemory?: number };
  return Math.min(addressable, ((deviceMemory ?? 8) / 2) * 2 ** 30);
}
