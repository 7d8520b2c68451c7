/** @file Available memory, from the contents of Linux's files. */

import { describe, expect, it } from "vitest";
import { availableMemory } from "./available.js";

const meminfo = "MemTotal:  8000 kB\nMemAvailable:    6000 kB\n";
const read = (files: Record<string, string>) =>
  availableMemory((file) => ({ "/proc/meminfo": meminfo, ...files })[file]);
const v2 = "30 24 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
const v1 = "31 24 0:27 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n";

describe("available memory", () => {
  it("is what the machine has available where no group has a limit", () => {
    expect(read({})).toBe(6000 * 1024);
  });

  it("is what the lowest limit of cgroup v2 leaves, of the own group and of those above", () => {
    const files = {
      "/proc/self/mountinfo": v2,
      "/proc/self/cgroup": "0::/user/job\n",
      "/sys/fs/cgroup/user/memory.max": "3000000\n",
      "/sys/fs/cgroup/user/memory.high": "max\n",
      "/sys/fs/cgroup/user/memory.current": "2000000\n",
      "/sys/fs/cgroup/user/memory.stat": "anon 1\ninactive_file 200000\nactive_file 100000\n",
      "/sys/fs/cgroup/user/job/memory.max": "max\n",
      "/sys/fs/cgroup/user/job/memory.current": "1000000\n",
    };
    expect(read(files)).toBe(1_300_000);
  });

  it("reads a container's limit of cgroup v1 at the root of its mount", () => {
    const files = {
      "/proc/self/mountinfo": v1,
      "/proc/self/cgroup": "5:cpu:/docker/abc\n4:memory:/docker/abc\n",
      "/sys/fs/cgroup/memory/memory.limit_in_bytes": "2000000\n",
      "/sys/fs/cgroup/memory/memory.usage_in_bytes": "1500000\n",
      "/sys/fs/cgroup/memory/memory.stat": "inactive_file 9\ntotal_inactive_file 100000\n",
    };
    expect(read(files)).toBe(600_000);
  });

  it("is never negative", () => {
    const files = {
      "/proc/self/mountinfo": v2,
      "/proc/self/cgroup": "0::/\n",
      "/sys/fs/cgroup/memory.max": "10\n",
      "/sys/fs/cgroup/memory.current": "20\n",
    };
    expect(read(files)).toBe(0);
  });
});
