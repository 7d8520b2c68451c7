/**
 * @file A teacher's results on disk, batch by batch: teacher and student need not be in memory together. Each file
 * says which batch it belongs to by a digest of the noisy latents, so results of another seed or data set are refused.
 */

import { createHash } from "node:crypto";
import { mkdir } from "node:fs/promises";
import path from "node:path";
import type { Values } from "../engine/engine.js";
import { ModelError } from "../errors.js";
import { kindOf } from "../weights/files.js";
import { openSafetensors, writeSafetensors } from "../weights/safetensors-file.js";

export class TeacherStore {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  async has(batch: number): Promise<boolean> {
    return (await kindOf(this.#file(batch))) === "file";
  }

  /** Writes the teacher's results of a batch, whole or not at all. */
  async write(
    batch: number,
    inputs: Readonly<Record<string, Values>>,
    results: Readonly<Record<string, Values>>,
  ): Promise<void> {
    await mkdir(this.#folder, { recursive: true });
    const tensors = Object.entries(results).map(
      ([name, { data, shape }]) => [name, { dtype: "F32" as const, shape, data }] as const,
    );
    await writeSafetensors(this.#file(batch), new Map(tensors), {
      metadata: { batch: String(batch), noisy: digest(inputs) },
    });
  }

  /** The results of a batch; ModelError if they are absent or were computed from another batch. */
  async read(batch: number, inputs: Readonly<Record<string, Values>>): Promise<Record<string, Values>> {
    const file = await openSafetensors(this.#file(batch)).catch((error: unknown) => {
      throw new ModelError(
        this.#file(batch),
        `must hold the teacher's results of batch ${batch}: ${(error as Error).message} Let the teacher run for more steps first.`,
      );
    });
    if (file.metadata.noisy !== digest(inputs)) {
      throw new ModelError(
        file.path,
        "was computed from another batch. Use the same data, seed, batch size and options, or another --teacher-cache.",
      );
    }
    const results: Record<string, Values> = {};
    for (const [name, { shape }] of file.tensors)
      results[name] = { data: await file.readFloats(name), shape };
    return results;
  }

  #file(batch: number): string {
    return path.join(this.#folder, `batch-${String(batch).padStart(6, "0")}.safetensors`);
  }
}

const digest = ({ noisy }: Readonly<Record<string, Values>>): string => {
  const { buffer, byteOffset, byteLength } = noisy!.data;
  return createHash("sha256")
    .update(new Uint8Array(buffer, byteOffset, byteLength))
    .digest("hex");
};
