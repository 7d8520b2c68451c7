/** @file The processes that a process started, and theirs (Linux). */

import { readFileSync } from "node:fs";

export function children(pid: number): number[] {
  let own: number[] = [];
  try {
    own = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8")
      .trim()
      .split(" ")
      .filter(Boolean)
      .map(Number);
  } catch {
    return [];
  }
  return [...own, ...own.flatMap(children)];
}
