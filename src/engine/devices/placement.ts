/** @file Which execution provider computed each operation of a program, from ONNX Runtime's profile of a run. */

import { z } from "zod";

/** An operation of a program, and whether it reads floating-point numbers. */
export type PlacedNode = { name: string; op: string; provider: string; floats: boolean };

const event = z.object({
  cat: z.string(),
  name: z.string(),
  args: z.object({
    op_name: z.string(),
    provider: z.string(),
    input_type_shape: z.array(z.record(z.string(), z.unknown())).default([]),
  }),
});

/** The operations that a profile names. */
export function placedNodes(profile: string): PlacedNode[] {
  return (JSON.parse(profile) as unknown[]).flatMap((entry) => {
    const { success, data } = event.safeParse(entry);
    if (!success || data.cat !== "Node") return [];
    const { op_name: op, provider, input_type_shape: inputs } = data.args;
    const floats = inputs.some((input) =>
      Object.keys(input).some((type) => /^(float|bfloat|double)/.test(type)),
    );
    return [{ name: data.name.replace(/_kernel_time$/, ""), op, provider, floats }];
  });
}

/** These move numbers and compute none. */
const copies = new Set([
  ...["Identity", "Reshape", "Squeeze", "Unsqueeze", "Transpose", "Slice", "Split", "Concat", "Expand"],
  ...["Gather", "GatherND", "Cast", "Shape", "MemcpyToHost", "MemcpyFromHost"],
]);

/** The operations that computed with floating-point numbers on the CPU; arithmetic of shapes, and copies, may. */
export const computedOnCpu = (nodes: readonly PlacedNode[]): PlacedNode[] =>
  nodes.filter(
    ({ provider, floats, op }) => provider === "CPUExecutionProvider" && floats && !copies.has(op),
  );

/** "2 MatMul and 1 Conv" */
export function countedOperations(nodes: readonly PlacedNode[]): string {
  const counts = new Map<string, number>();
  for (const { op } of nodes) counts.set(op, (counts.get(op) ?? 0) + 1);
  const parts = [...counts].map(([op, n]) => `${n} ${op}`);
  return parts.length > 1 ? `${parts.slice(0, -1).join(", ")} and ${parts.at(-1)}` : (parts[0] ?? "none");
}
