/** @file The built program under limits: of a shell's `ulimit`, as a user without rights, or into a full disk. */

import { spawn } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import path from "node:path";

/** The command that users start. */
const main = new URL("../dist/cli/main.js", import.meta.url).pathname;

/** A module as it was built: "weights/files.js". */
export const built = (name: string): string => path.join(new URL("../dist/", import.meta.url).pathname, name);

export type Limits = {
  /** What the shell runs before, such as "ulimit -n 64". */
  shell?: string;
  /** As a user whom modes of files bind. Root keeps its files but loses the right to pass over their modes. */
  unprivileged?: boolean;
  cwd?: string;
  /** A file that takes the output, such as /dev/full. */
  stdout?: string;
  env?: Readonly<Record<string, string>>;
};

export type Ended = { code: number | null; stdout: string; stderr: string };

/** Runs Node with these arguments until it ends. */
export async function limited(
  args: readonly string[],
  { shell = ":", unprivileged = false, cwd, stdout, env = {} }: Limits = {},
): Promise<Ended> {
  const command = ["sh", "-c", `${shell}; exec "$0" "$@"`, process.execPath, ...args];
  const root = process.getuid?.() === 0;
  const drop = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"];
  const [program, ...rest] = unprivileged && root ? [...drop, ...command] : command;
  const target = stdout === undefined ? "pipe" : openSync(stdout, "w");
  const child = spawn(program!, rest, {
    stdio: ["ignore", target, "pipe"],
    cwd,
    env: { ...process.env, ...env },
  });
  if (typeof target === "number") closeSync(target);
  const said = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"] as const)
    child[name]?.setEncoding("utf8").on("data", (text: string) => (said[name] += text));
  const code = await new Promise<number | null>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", resolve);
  });
  return { code, ...said };
}

/** Runs `koala` with these arguments until it ends. */
export const limitedKoala = (args: readonly string[], limits: Limits = {}): Promise<Ended> =>
  limited([main, ...args], limits);
