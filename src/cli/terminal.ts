/** @file What every command shares: a progress line on stderr, exit codes, Ctrl-C, and how errors are printed. */

import { SingleBar } from "cli-progress";
import { byteSize } from "../byte-size.js";
import {
  Cancelled,
  EngineError,
  FlaggedImageError,
  InvalidRequest,
  ModelError,
  ShapeError,
} from "../errors.js";
import { fileError, namedFileError, systemCode } from "../files/file-errors.js";
import { cyan, red, yellow } from "./colors.js";

/** 0 done, 1 failed, 2 the command line or a value in it is wrong, 130 stopped by Ctrl-C. */
export const exitCodes = { failed: 1, usage: 2, stopped: 130 } as const;

/** A line of progress with the time left, where someone is watching; nothing in a pipe. */
export class ProgressBar {
  readonly #bar: SingleBar | undefined;

  /** `bytes` shows the numbers as sizes. */
  constructor({ quiet = false, bytes = false } = {}) {
    if (quiet || !process.stderr.isTTY) return;
    this.#bar = new SingleBar({
      format: `${cyan("{bar}")} {what} {value}/{total} {left}`,
      stream: process.stderr,
      barsize: 24,
      hideCursor: true,
      clearOnComplete: true,
      linewrap: false,
      etaBuffer: 5,
      ...(bytes && {
        formatValue: (value, _, type) => (/value|total/.test(type) ? byteSize(value) : String(value)),
      }),
    });
  }

  start(what: string, total: number): void {
    this.#bar?.start(total, 0, { what, left: "" });
  }

  /** `note` is shown behind the time left. */
  step(done: number, secondsLeft: number, note = ""): void {
    this.#bar?.update(done, { left: `${duration(secondsLeft)} left ${note}`.trimEnd() });
  }

  stop(): void {
    this.#bar?.stop();
  }
}

/** 75 -> "1m15s" */
export function duration(seconds: number): string {
  if (seconds < 10) return `${Math.max(0, seconds).toFixed(1)}s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole}s`;
  if (whole < 3600) return `${Math.floor(whole / 60)}m${String(whole % 60).padStart(2, "0")}s`;
  return `${Math.floor(whole / 3600)}h${String(Math.floor((whole % 3600) / 60)).padStart(2, "0")}m`;
}

/** Warns on stderr. */
export const warn = (message: string): void =>
  void process.stderr.write(`${yellow("warning:")} ${message}\n`);

/** The same, each message once. */
export function warnOnce(): (message: string) => void {
  const printed = new Set<string>();
  return (message) => {
    if (!printed.has(message)) warn(message);
    printed.add(message);
  };
}

/** A signal that the first Ctrl-C fires, and the second overtakes; an output that nobody takes fires it too. */
export function stopOnInterrupt(say: (line: string) => void): { signal: AbortSignal; done: () => void } {
  const controller = new AbortController();
  const listener = (signal: NodeJS.Signals) => {
    if (controller.signal.aborted) leaveAtOnce(signal);
    say("stopping after the running step (Ctrl-C again to leave at once)");
    controller.abort();
  };
  const full = () => controller.abort();
  process.on("SIGINT", listener);
  process.on("SIGTERM", listener);
  process.stdout.on("error", full);
  const done = () => {
    process.stdout.off("error", full);
    process.off("SIGINT", listener);
    process.off("SIGTERM", listener);
  };
  return { signal: controller.signal, done };
}

/**
 * Ends the process as the signal does by itself. `process.exit` waits for the threads, which are in the middle of a run
 * of seconds to minutes, and such a thread's end is an abort.
 */
function leaveAtOnce(signal: NodeJS.Signals): never {
  process.removeAllListeners(signal);
  process.kill(process.pid, signal);
  // The first process of a container is not ended by its signals.
  process.exit(exitCodes.stopped);
}

/**
 * Ends the program where nobody takes its output: quietly where the reader has left, as `head` does, else with a line
 * and exit code 1. A command that can be stopped first saves what it has, as at Ctrl-C.
 */
export function stopAtFullOutput(): void {
  let stopping = false;
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code === "EPIPE") process.exit(0);
    if (stopping) return;
    stopping = true;
    report(fileError(error, "write", "standard output"));
    process.on("exit", () => {
      process.exitCode = exitCodes.failed;
    });
    // The other listeners are those of `stopOnInterrupt`.
    if (process.stdout.listenerCount("error") === 1) process.exit();
  });
  // Where notes cannot be written, nothing can be said about it.
  process.stderr.on("error", () => {});
}

/** Prints an error and sets the exit code. */
export function report(error: unknown): void {
  if (error instanceof Cancelled) {
    process.stderr.write("stopped\n");
    process.exitCode = exitCodes.stopped;
    return;
  }
  printError(error);
  process.exitCode = error instanceof InvalidRequest ? exitCodes.usage : exitCodes.failed;
}

/** Prints an error in a line, or whole when it is a bug. */
export function printError(error: unknown): void {
  process.stderr.write(`${red("error:")} ${errorText(error)}\n`);
}

/** An error of ours or of the system by its message alone, a bug with where it happened. */
export function errorText(error: unknown): string {
  if (!(error instanceof Error)) return withoutPasswords(String(error));
  const named = namedFileError(error) as Error;
  const plain = systemCode(named) !== undefined || ours.some((kind) => named instanceof kind);
  return withoutPasswords(plain ? named.message : (named.stack ?? named.message));
}

const ours = [InvalidRequest, ModelError, ShapeError, EngineError, FlaggedImageError];

/** An address of Redis without its user and password, which a message about a command line may repeat. */
export const withoutPasswords = (text: string): string => text.replace(/\b(rediss?:\/\/)[^\s'"]*@/gi, "$1");
