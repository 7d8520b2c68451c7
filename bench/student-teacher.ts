/**
 * @file The bundled model against its teacher: the same nine images in turns, after one turn that is not counted.
 * `npx tsx bench/student-teacher.ts`, after a build.
 */

import { openModel } from "../nano/images.js";
import { shipped, snapshot } from "../nano/stages.js";

const turns = 12;
const prompts = Array.from({ length: 9 }, (_, i) => `a koala, ${i % 2 ? "flat icon" : "line art"}`);
const [student, teacher] = [await openModel(shipped), await openModel(snapshot)];

async function seconds({ generate }: typeof student, seed: number): Promise<number> {
  const started = performance.now();
  await generate(prompts, seed);
  return (performance.now() - started) / 1000 / prompts.length;
}

const rows: [number, number][] = [];
for (let turn = 0; turn <= turns; turn++) {
  const row: [number, number] = [await seconds(student, turn), await seconds(teacher, turn)];
  if (turn > 0) rows.push(row);
}
await Promise.all([student.close(), teacher.close()]);
const median = (values: number[]) => values.toSorted((a, b) => a - b)[values.length >> 1]!;
const [a, b] = [median(rows.map(([x]) => x)), median(rows.map(([, x]) => x))];
const ratios = rows.map(([x, y]) => x / y).toSorted((x, y) => x - y);
console.log(`student ${a.toFixed(3)} s an image, teacher ${b.toFixed(3)} s`);
console.log(
  `student / teacher: ${median(ratios).toFixed(2)} (${ratios[0]!.toFixed(2)} to ${ratios.at(-1)!.toFixed(2)})`,
);
