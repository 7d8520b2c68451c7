/**
 * @file Which graphics drivers this process has loaded, where the system tells: ONNX Runtime does not say what adapter
 * it took. On Linux they are in /proc/self/maps once a session is open.
 */

import { existsSync, readdirSync, readFileSync } from "node:fs";
import path from "../../files/path.js";
import type { Drivers } from "./machine.js";

/** Drivers that compute on the CPU. */
const software = /lib(vulkan_lvp|vk_swiftshader|EGL_swiftshader)|llvmpipe/i;
/** Drivers of Vulkan, as their files are called, and those of NVIDIA. */
const driver =
  /\/lib(vulkan_\w+|vk_\w+|GLX_nvidia|nvidia-(glcore|gpucomp)\w*|cuda|EGL_swiftshader)[.\d]*\.so[^/]*$/;

/** Whose cards a driver is for, by its file. */
const makers: readonly (readonly [RegExp, string])[] = [
  [/nvidia|libcuda/, "NVIDIA's driver"],
  [/vulkan_nouveau/, "Mesa's driver for NVIDIA"],
  [/vulkan_radeon/, "Mesa's driver for AMD"],
  [/vulkan_intel/, "Mesa's driver for Intel"],
];

/** What this process has loaded; nothing where the system does not tell. */
export function loadedDrivers(
  maps: string = mapsOfProcess(),
  hasGraphicsCard: () => boolean = graphicsCard,
): Drivers {
  const files = new Set(maps.split("\n").flatMap((line) => /\s(\/\S.*)$/.exec(line)?.[1] ?? []));
  const libraries = [...files].filter((file) => driver.test(file)).sort();
  const slow = libraries.find((file) => software.test(file));
  const fast = libraries.some((file) => !software.test(file));
  // All installed drivers are loaded, also those of cards that are not there.
  const used = slow !== undefined && !(fast && hasGraphicsCard());
  return { libraries, software: used ? driverName(slow) : undefined };
}

/** The adapter in words; undefined where the system does not tell, or several makers' drivers are loaded. */
export function adapterOf({ libraries, software }: Drivers): string | undefined {
  if (software !== undefined) return `${software}, a software adapter`;
  const found = makers.filter(([file]) => libraries.some((library) => file.test(path.basename(library))));
  return found.length === 1 ? found[0]![1] : undefined;
}

function driverName(library: string): string {
  return /lvp|llvmpipe/i.test(library) ? "lavapipe" : "SwiftShader";
}

function mapsOfProcess(): string {
  try {
    return readFileSync("/proc/self/maps", "utf8");
  } catch {
    return "";
  }
}

/** A render node of the kernel, NVIDIA's own device, or Windows's card in WSL. */
function graphicsCard(): boolean {
  try {
    if (readdirSync("/dev/dri").some((name) => name.startsWith("renderD"))) return true;
  } catch {
    // There is no such folder.
  }
  return ["nvidia0", "dxg"].some((name) => existsSync(path.join("/dev", name)));
}
