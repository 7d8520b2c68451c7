/** @file The memory that this process may still allocate: what the machine has available, within its cgroups' limits. */

import { readFileSync } from "node:fs";
import path from "../../files/path.js";

/** A file's text; undefined where there is none. */
export type Read = (file: string) => string | undefined;

const readText: Read = (file) => {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return undefined;
  }
};

/** Bytes that can be allocated without swapping. The page cache counts as free, because the kernel reclaims it. */
export function availableMemory(read: Read = readText): number {
  const kilobytes = /^MemAvailable:\s+(\d+) kB/m.exec(read("/proc/meminfo") ?? "")?.[1];
  if (kilobytes === undefined) return process.availableMemory();
  return Math.max(0, Math.min(1024 * Number(kilobytes), ...groups(read).map((group) => left(read, group))));
}

/** A directory of the memory controller, and which version's files it holds. */
type Group = { directory: string; version: 1 | 2 };

/** The groups that this process is in, from its own up to the highest that can be seen. */
function groups(read: Read): Group[] {
  const mounts = (read("/proc/self/mountinfo") ?? "").split("\n").flatMap(mountOf);
  return (read("/proc/self/cgroup") ?? "").split("\n").flatMap((line) => {
    const [, controllers, at] = /^\d+:([^:]*):(.*)$/.exec(line) ?? [];
    if (at === undefined) return [];
    const version = controllers === "" ? 2 : 1;
    if (version === 1 && !controllers!.split(",").includes("memory")) return [];
    const mount = mounts.find((m) => m.version === version);
    return mount ? above(mount, at).map((directory) => ({ directory, version })) : [];
  });
}

type Mount = { root: string; point: string; version: 1 | 2 };

/** A line of mountinfo: `36 35 0:31 /root /point options - type source options`. */
function mountOf(line: string): Mount[] {
  const [before, after] = line.split(" - ");
  const [type, , options] = (after ?? "").split(" ");
  const [, , , root, point] = before!.split(" ");
  if (root === undefined || point === undefined) return [];
  if (type === "cgroup2") return [{ root, point, version: 2 }];
  const memory = type === "cgroup" && options?.split(",").includes("memory");
  return memory ? [{ root, point, version: 1 }] : [];
}

/** In a container the mount begins at the container's own group, though the path may be the host's. */
function above({ root, point }: Mount, at: string): string[] {
  const inside = root === "/" ? at : at === root || at.startsWith(`${root}/`) ? at.slice(root.length) : "/";
  const parts = inside.split("/").filter((part) => part !== "" && part !== "..");
  return [...parts.keys(), parts.length].map((n) => path.posix.join(point, ...parts.slice(0, n)));
}

function left(read: Read, { directory, version }: Group): number {
  const file = (name: string) => read(path.posix.join(directory, name));
  const number = (name: string) => {
    const value = Number(file(name)?.trim() || Number.NaN);
    return Number.isNaN(value) ? Number.POSITIVE_INFINITY : value; // "max" too
  };
  const limits = version === 2 ? ["memory.max", "memory.high"] : ["memory.limit_in_bytes"];
  const limit = Math.min(...limits.map(number));
  const used = number(version === 2 ? "memory.current" : "memory.usage_in_bytes");
  if (limit === Number.POSITIVE_INFINITY || used === Number.POSITIVE_INFINITY)
    return Number.POSITIVE_INFINITY;
  const prefix = version === 2 ? "" : "total_";
  const stat = file("memory.stat") ?? "";
  const pages = (name: string) => Number(new RegExp(`^${prefix}${name} (\\d+)$`, "m").exec(stat)?.[1] ?? 0);
  return limit - used + pages("inactive_file") + pages("active_file");
}
