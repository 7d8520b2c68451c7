/**
 * @file `npm run nano`: makes the small model, from npm packages to models/nano, stage by stage. A stage that is done is
 * skipped, one that was stopped goes on.
 *
 *     npm run nano                    every stage
 *     npm run nano -- teacher         up to and with this stage
 *     npm run nano -- status          what is done
 *     npm run nano -- pause           give the cores back until `continue`
 *
 * Works in out/nano, or where KOALA_NANO says.
 */

import { existsSync } from "node:fs";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { stages } from "./stages.js";

export const work = path.resolve(process.env.KOALA_NANO ?? "out/nano");
const pidFile = path.join(work, "pid");

async function main([command]: readonly string[]): Promise<void> {
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
  }
  const last = command === undefined ? all.length - 1 : names.indexOf(command);
  if (last < 0)
    throw new Error(
      `stage: must be one of ${names.join(", ")}, or status, pause, continue, got "${command}".`,
    );
  await mkdir(work, { recursive: true });
  await writeFile(pidFile, String(process.pid));
  try {
    for (const stage of all.slice(0, last + 1)) {
      if (stage.done()) continue;
      console.log(`${stage.name}: ${stage.about}`);
      await stage.run();
      if (!stage.done()) throw new Error(`${stage.name}: was stopped; npm run nano goes on`);
    }
  } finally {
    await rm(pidFile, { force: true });
  }
}

/** To the run and the commands it started, which are in its process group. */
async function signal(name: "SIGSTOP" | "SIGCONT"): Promise<void> {
  if (!existsSync(pidFile)) throw new Error("no run of npm run nano is going on");
  const pid = Number(await readFile(pidFile, "utf8"));
  const { children } = await import("./processes.js");
  for (const one of [pid, ...children(pid)]) process.kill(one, name);
}

main(process.argv.slice(2)).catch((error: Error) => {
  console.error(`error: ${error.message}`);
  process.exitCode = 1;
});
