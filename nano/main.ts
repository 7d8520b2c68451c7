/**
 * @file `npm run nano`: makes the small model, from npm packages to models/nano, stage by stage. A stage that is done is
 * skipped, one that was stopped goes on.
 *
 *     npm run nano                    every stage
 *     npm run nano -- teacher         up to and with this stage
 *     npm run nano -- status          what is done
 *     npm run nano -- pause           give the cores back until `continue`
 *     npm run nano -- snapshot        keep the teacher as it is now in nano/snapshots
 *     npm run nano -- evaluate        the judge's scores of models/nano, and of the teacher
 *     npm run nano -- ablation        the paper's comparisons, run by run; with a feature: it again from other seeds
 *     npm run nano -- table           what the comparisons gave, as docs/ablation.md has it
 *     npm run nano -- rows FILE       the same prompts by the teacher and every run of the comparisons, a row each
 *     npm run nano -- sheet FILE      the forty prompts, painted by models/nano
 *     npm run nano -- pairs FILE      the twelve nouns that the rule begins with, a row each, in every style
 *
 * After `evaluate` and what writes a FILE may stand another model's folder.
 *
 * Works in out/nano, or where KOALA_NANO says.
 */

import { existsSync } from "node:fs";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { checkpointSteps } from "../src/train/checkpoint.js";
import { ablate, ablationTable, repeats, runs, writeRows } from "./ablation.js";
import { worded } from "./data/captions.js";
import { among, type Data, readData } from "./data/dataset.js";
import { styles } from "./data/emoji.js";
import { first, fortyPrompts } from "./data/nouns.js";
import { evaluate } from "./evaluate.js";
import { leastAccuracy, openEvaluator, savedEvaluator } from "./evaluator/make.js";
import { writeEvaluator, writeSnapshot } from "./export.js";
import { writeSheet } from "./images.js";
import { children } from "./processes.js";
import { shipped, snapshot, snapshotText, stages } from "./stages.js";

const work = path.resolve(process.env.KOALA_NANO ?? "out/nano");
const pidFile = path.join(work, "pid");

async function main([command, ...args]: readonly string[]): Promise<void> {
  const all = stages(work);
  const names = all.map(({ name }) => name);
  switch (command) {
    case "status":
      for (const { name, about, done } of all)
        console.log(`${done() ? "done   " : "missing"}  ${name}: ${about}`);
      return;
    case "pause":
    case "continue":
      return signal(command === "pause" ? "SIGSTOP" : "SIGCONT");
    case "snapshot":
      return keep();
    case "evaluate":
      return score(args[0] ?? shipped);
    case "ablation":
      return compare(args[0]);
    case "table":
      return console.log(await ablationTable());
    case "rows":
      return writeRows(work, fileOf(command, args[0]));
    case "sheet":
      return writeSheet(args[1] ?? shipped, fortyPrompts(), fileOf(command, args[0]));
    case "pairs":
      return writeSheet(args[1] ?? shipped, pairs(), fileOf(command, args[0]), styles.length);
  }
  const last = command === undefined ? all.length - 1 : names.indexOf(command);
  if (last < 0)
    throw new Error(
      `stage: must be one of ${names.join(", ")}, or status, pause, continue, got "${command}".`,
    );
  await pausable(async () => {
    for (const stage of all.slice(0, last + 1)) {
      if (stage.done()) continue;
      console.log(`${stage.name}: ${stage.about}`);
      await stage.run();
      if (!stage.done()) throw new Error(`${stage.name}: was stopped; npm run nano goes on`);
    }
  });
}

/** Long work that `pause` finds. */
async function pausable(run: () => Promise<void>): Promise<void> {
  await mkdir(work, { recursive: true });
  await writeFile(pidFile, String(process.pid));
  try {
    await run();
  } finally {
    await rm(pidFile, { force: true });
  }
}

/** The teacher as its run last saved it, and the judge if there is one. */
async function keep(): Promise<void> {
  const teacher = path.join(work, "teacher");
  const steps = (await checkpointSteps(teacher)).at(-1) ?? 0;
  const folders = { model: teacher, vae: path.join(work, "vae"), to: snapshot };
  await writeSnapshot(folders, snapshotText, { teacherSteps: steps });
  const evaluator = path.join(work, "judge");
  if (existsSync(path.join(evaluator, "accuracy.json"))) await writeEvaluator(evaluator, savedEvaluator);
  console.log(`${snapshot}: the teacher after ${steps} steps`);
}

async function compare(feature: string | undefined): Promise<void> {
  const { evaluator } = await openEvaluator(path.join(work, "judge"));
  await pausable(() => ablate(work, evaluator, feature === undefined ? runs : repeats(feature)));
}

async function score(folder: string): Promise<void> {
  const data = await knownTo(folder);
  const { evaluator, accuracy } = await openEvaluator(path.join(work, "judge"));
  for (const [question, share] of Object.entries(accuracy))
    if (share < leastAccuracy)
      console.warn(
        `the judge names only ${share} of held-out renderings' ${question}s: its scores do not count`,
      );
  const scores = await evaluate(folder, evaluator, data);
  console.log(JSON.stringify({ judgeOnHeldOutRenderings: accuracy, ...scores }, undefined, 2));
}

const pairs = () => first.flatMap((noun) => styles.map((style) => worded(noun, style)));

/** The nouns that a model lists as its words; all where it lists none. */
async function knownTo(folder: string): Promise<Data> {
  const data = readData();
  const file = path.join(folder, "words.json");
  if (!existsSync(file)) return data;
  const listed = JSON.parse(await readFile(file, "utf8")) as { nouns: { name: string }[] };
  const names = new Set(listed.nouns.map(({ name }) => name));
  return among(
    data.nouns.filter(({ name }) => names.has(name)),
    data,
  );
}

function fileOf(command: string, file: string | undefined): string {
  if (file === undefined) throw new Error(`${command}: needs a file to write, got none. Name a .png.`);
  return file;
}

/** To the run and the commands it started, which are in its process group. */
async function signal(name: "SIGSTOP" | "SIGCONT"): Promise<void> {
  if (!existsSync(pidFile)) throw new Error("no run of npm run nano is going on");
  const pid = Number(await readFile(pidFile, "utf8"));
  for (const one of [pid, ...children(pid)]) process.kill(one, name);
}

main(process.argv.slice(2)).catch((error: Error) => {
  console.error(`error: ${error.message}`);
  process.exitCode = 1;
});
