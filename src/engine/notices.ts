/** @file What an engine reports while it works, besides results and errors. */

import type { Device } from "./device.js";

export type EngineNotice =
  /** The first run of a program on a graphics device, which compiles a shader for each kind of operation. */
  | { readonly type: "compiling"; readonly program: string; readonly device: string }
  /** Operations that the device has no kernel for were permitted to run on the CPU, once a program. */
  | {
      readonly type: "cpuFallback";
      readonly program: string;
      readonly device: string;
      readonly operations: string;
    };

/** A notice in words. */
export function noticeText(notice: EngineNotice): string {
  const { program, device } = notice;
  switch (notice.type) {
    case "compiling":
      return `${program}: compiling shaders for ${device}; the first run takes longer`;
    case "cpuFallback":
      return `${program}: ${notice.operations} run on the cpu, since ${device} has no kernel for them`;
    default:
      return notice satisfies never;
  }
}

export const compiling = (program: string, { name }: Device): EngineNotice => ({
  type: "compiling",
  program,
  device: name,
});
