/** @file `koala worker` as a process of its own, for tests. */

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";

const koala = new URL("../dist/cli/main.js", import.meta.url).pathname;

export type WorkerProcess = {
  /** What it said: a line per job that it ended with. */
  readonly said: string;
  /** Fires when it is ready to generate. */
  readonly ready: Promise<void>;
  /** Sends a signal that does not end it. */
  signal(signal: "SIGSTOP" | "SIGCONT"): void;
  kill(signal: "SIGKILL" | "SIGTERM"): Promise<number | null>;
};

export function startWorker(url: string, model: string, ...args: string[]): WorkerProcess {
  const child = spawn(
    process.execPath,
    [koala, "worker", "--redis", url, "--model", model, "--threads", "1", ...args],
    { stdio: ["ignore", "ignore", "pipe"] },
  );
  const worker = {
    said: "",
    ready: readyOf(child),
    signal: (signal: NodeJS.Signals) => void child.kill(signal),
    kill: (signal: NodeJS.Signals) => kill(child, signal),
  };
  child.stderr!.on("data", (data: Buffer) => {
    worker.said += data;
  });
  return worker;
}

function readyOf(child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    let said = "";
    child.stderr!.on("data", (data: Buffer) => {
      said += data;
      if (said.includes("generating ")) resolve();
    });
    child.on("exit", (code) =>
      reject(new Error(`the worker ended with ${code} before it was ready: ${said}`)),
    );
  });
}

async function kill(child: ChildProcess, signal: NodeJS.Signals): Promise<number | null> {
  if (child.exitCode !== null || child.signalCode !== null) return child.exitCode;
  const ended = once(child, "exit");
  child.kill(signal);
  await ended;
  return child.exitCode;
}
