/**
 * @file A training step on several threads: each computes the losses and gradients of an equal share of the batch, with
 * a program of its own on one core. Most operations of a small network are too small to divide between cores.
 */

import type { Device } from "../engine/device.js";
import { floatsOf, type Values } from "../engine/engine.js";
import type { BlockingEngine } from "../engine/ort/blocking-engine.js";
import { EngineError } from "../errors.js";
import { builtFile } from "../package-files.js";
import { Thread } from "../threads.js";
import type { ShareData, ShareMethods } from "./data-parallel-thread.js";
import { type GradientProgram, lowerStep, type TracedLoss, wholeProgram } from "./gradient-program.js";
import type { ParameterBuffer } from "./parameter-buffer.js";
import { scaledSum } from "./vectors/vectors.js";

/** A step in so many shares, which for one is the whole batch in this thread. */
export const stepProgram = (
  engine: BlockingEngine,
  loss: TracedLoss,
  layout: ParameterBuffer,
  parts: number,
  device?: Device,
): Promise<GradientProgram> =>
  parts > 1 ? parallelProgram(loss, layout, parts, device) : wholeProgram(engine, loss, layout, device);

/**
 * `loss` is traced for one share of the batch. Every input's first axis is the batch, and every term a mean over it, so
 * that the mean over equal shares is the whole batch's.
 */
export async function parallelProgram(
  loss: TracedLoss,
  layout: ParameterBuffer,
  parts: number,
  device?: Device,
): Promise<GradientProgram> {
  const shared = () => new Float32Array(new SharedArrayBuffer(4 * layout.total));
  const weights = shared();
  const program = lowerStep(loss, device);
  const shapes = [...layout.slices].map(([path, { shape }]) => [path, shape] as const);
  const threads = Array.from({ length: parts }, () => {
    const gradient = shared();
    return { gradient, share: startShare({ program, shapes, weights, gradient }) };
  });
  await Promise.all(threads.map(({ share }) => share.load()));
  return {
    run: async (given, inputs, into) => {
      weights.set(given);
      const answers = await Promise.all(threads.map(({ share }, i) => share.run(rows(inputs, i, parts))));
      averaged(
        threads.map(({ gradient }) => gradient),
        into,
      );
      const names = Object.keys(answers[0]!);
      return Object.fromEntries(names.map((name) => [name, mean(answers.map((terms) => terms[name]!))]));
    },
    release: async () => void (await Promise.all(threads.map(({ share }) => share.stop()))),
  };
}

function startShare(data: ShareData) {
  const entry = builtFile("train/data-parallel-thread.js");
  const thread = new Thread<ShareMethods>(entry, { name: "training", data });
  const named = (error: unknown): never => {
    throw error instanceof EngineError ? error : new EngineError("student", error);
  };
  return {
    load: () => thread.call("load", undefined).catch(named),
    run: (inputs: Record<string, Values>) => thread.call("run", inputs).catch(named),
    stop: () => thread.close(),
  };
}

/** The rows of share `i`. */
function rows(inputs: Readonly<Record<string, Values>>, i: number, parts: number): Record<string, Values> {
  const share = ([name, { data, shape }]: [string, Values]) => {
    const size = data.length / parts;
    const [batch, ...rest] = shape as [number, ...number[]];
    return [name, { data: data.slice(i * size, (i + 1) * size), shape: [batch / parts, ...rest] }];
  };
  return Object.fromEntries(Object.entries(inputs).map(share));
}

function averaged(parts: readonly Float32Array[], into: Float32Array): void {
  for (const [i, part] of parts.entries())
    if (i > 0)
      scaledSum(into, i === 1 ? parts[0]! : into, part, i === parts.length - 1 ? 1 / parts.length : 1);
}

const mean = (terms: readonly Float32Array[]): Float32Array =>
  terms[0]!.map((_, i) => terms.reduce((sum, term) => sum + term[i]!, 0) / terms.length);

/** A network that is only run, on as many threads: rows of the batch in, rows of the results out. */
export function parallelRun(
  sessions: readonly { run(inputs: Readonly<Record<string, Values>>): Promise<Record<string, Values>> }[],
): (inputs: Readonly<Record<string, Values>>) => Promise<Record<string, Values>> {
  return async (inputs) => {
    const results = await Promise.all(
      sessions.map((session, i) => session.run(rows(inputs, i, sessions.length))),
    );
    const joined = Object.keys(results[0]!).map((name) => {
      const pieces = results.map((result) => floatsOf(result[name]));
      const [share, ...rest] = results[0]![name]!.shape as [number, ...number[]];
      const data = new Float32Array(pieces.length * pieces[0]!.length);
      for (const [i, piece] of pieces.entries()) data.set(piece, i * piece.length);
      return [name, { data, shape: [share * pieces.length, ...rest] }];
    });
    return Object.fromEntries(joined);
  };
}
