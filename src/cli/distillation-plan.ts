/** @file Prints what a distillation takes: `koala distill --plan`. */

import { byteSize } from "../byte-size.js";
import { type DistillationPlan, type PlanBytes, type PlanRow, ways } from "../train/plan.js";
import { type Cells, type Column, textTable } from "./table.js";

const bytes: Readonly<Record<keyof PlanBytes, string>> = {
  runtime: "Node and ONNX Runtime",
  teacherWeights: "teacher's weights",
  teacherActivations: "teacher's activations",
  teacherResults: "teacher's output and features",
  studentWeights: "student's trained weights",
  gradients: "gradients",
  moments: "AdamW's two moments",
  average: "moving average",
  targetWeights: "target network's weights",
  targetActivations: "target network's activations",
  constants: "tables in the student's program",
  activations: "student's activations",
  checkpointed: "the same, checkpointed",
  frozenWeights: "weights beside the LoRA",
  frozenCheckpointed: "the same, checkpointed",
};

/** The plan as text for a terminal: a column for each resolution. */
export function planTable({ rows, memory, device }: DistillationPlan): string {
  const columns: Column[] = [
    { title: "" },
    ...rows.map((row) => ({ title: `${row.resolution} px, batch ${row.batch}`, numeric: true })),
  ];
  const line = (title: string, cell: (row: PlanRow) => string): Cells => [title, ...rows.map(cell)];
  const whole = (n: number) => Math.round(n).toLocaleString("en");
  const costs = (["teacher", "student"] as const).flatMap((name) => [
    line(`${name}: parameters`, (row) => whole(row[name].parameters)),
    ...(rows.some((row) => row[name].trained < row[name].parameters && name === "student")
      ? [line("student: parameters of the LoRA", (row) => whole(row.student.trained))]
      : []),
    line(
      `${name}: operations / ONNX nodes`,
      (row) => `${whole(row[name].operations)} / ${whole(row[name].nodes)}`,
    ),
    line(name === "teacher" ? "teacher: GMAC of a pass" : "student: GMAC of a step", (row) =>
      whole(row[name].gmac),
    ),
  ]);
  const work = [
    line(
      "passes in a batch: teacher / target network",
      ({ work: w }) => `${w.teacherPasses} / ${w.targetPasses}`,
    ),
    line("a batch: GMAC", (row) => whole(row.work.gmac)),
    line("the run: batches", (row) => whole(row.work.batches)),
    line("the run: hours at 100 GMAC a second", (row) => (row.work.runGmac / 360_000).toPrecision(3)),
  ];
  const held = (Object.keys(bytes) as (keyof PlanBytes)[])
    .filter((key) => rows.some((row) => row.bytes[key] > 0))
    .map((key) => line(bytes[key], (row) => byteSize(row.bytes[key])));
  const sums = ways.map((way) => line(way, (row) => byteSize(row.totals[way])));
  const blocks = [[line("device", () => device)], costs, work, held, [line("in all", () => ""), ...sums]];
  if (memory !== undefined) {
    const fits = ways.map((way) =>
      line(way, ({ largestBatch }) => (largestBatch![way] > 0 ? whole(largestBatch![way]) : "does not fit")),
    );
    blocks.push([line(`largest batch in ${byteSize(memory)}`, () => ""), ...fits]);
  }
  const empty = line("", () => "");
  const body = blocks.flatMap((block, i) => (i === 0 ? block : [empty, ...block]));
  return textTable(columns, body);
}

/** Writes the plan to standard output, as a table or as JSON. */
export function printPlan(plan: DistillationPlan, { json = false } = {}): void {
  process.stdout.write(json ? `${JSON.stringify(plan, undefined, 2)}\n` : planTable(plan));
}
