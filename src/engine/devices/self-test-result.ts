/** @file What the self-test of a device found, as it is kept, and its failures in words. */

import * as z from "zod/mini";

const checked = z.object({
  name: z.string(),
  passed: z.boolean(),
  /** The largest difference over the largest value; none where the device did not compute it. */
  error: z.optional(z.number()),
  /** Why it failed. */
  reason: z.optional(z.string()),
});
/** What one check found. */
export type Checked = z.infer<typeof checked>;

export const selfTestResult = z.object({
  /** By the capability that a failure takes. */
  fused: z.record(z.string(), checked),
  sines: checked,
  required: z.array(checked),
  /** Whether the device computes in half precision at all. */
  half: checked,
});
export type SelfTestResult = z.infer<typeof selfTestResult>;

/** A failed check in words. */
export const describe = ({ name, reason = "failed" }: Checked): string => `${name} ${reason}`;

/** ONNX Runtime's message without the place in its sources, and without what follows in further lines. */
export const plainMessage = (message: string): string =>
  message
    .split("\n")[0]!
    .replace(/^(\S+: )?Error: /, "$1")
    .replace(/\S*\/onnxruntime\/\S+:\d+ .* was false\. /, "");
