/**
 * @file A teacher's results on disk, batch by batch: teacher and student need not be in memory together. Each file
 * holds a digest of the teacher's inputs, so results of another seed, data set or caption dropout are refused.
 */

import { createHash } from "node:crypto";
import path from "node:path";
import type { Values } from "../engine/engine.js";
import { listed, ModelError } from "../errors.js";
import { kindOf, makeFolder } from "../files/file-system.js";
import { openSafetensors, type SafetensorsFile, writeSafetensors } from "../weights/safetensors-file.js";
import { damagedFile } from "./damaged-file.js";

export class TeacherStore {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** Whether the results of this batch are there; ModelError if another batch's are. */
  async has(batch: number, inputs: Readonly<Record<string, Values>>): Promise<boolean> {
    if ((await kindOf(this.#file(batch))) === undefined) return false;
    checkOrigin(await this.#open(batch), inputs);
    return true;
  }

  /** Writes the teacher's results of a batch, whole or not at all. inputs: the teacher's. */
  async write(
    batch: number,
    inputs: Readonly<Record<string, Values>>,
    results: Readonly<Record<string, Values>>,
  ): Promise<void> {
    await makeFolder(this.#folder);
    const tensors = Object.entries(results).map(
      ([name, { data, shape }]) => [name, { dtype: "F32" as const, shape, data }] as const,
    );
    await writeSafetensors(this.#file(batch), new Map(tensors), {
      metadata: { batch: String(batch), inputs: digest(inputs) },
    });
  }

  /** The results called `names` of a batch; ModelError if they are absent or were computed from another batch. */
  async read(
    batch: number,
    inputs: Readonly<Record<string, Values>>,
    names: readonly string[],
  ): Promise<Record<string, Values>> {
    if ((await kindOf(this.#file(batch))) === undefined) {
      const rule = `must hold the teacher's results of batch ${batch}, got no file.`;
      throw new ModelError(this.#file(batch), `${rule} Let the teacher run for more steps first.`);
    }
    const file = await this.#open(batch);
    checkOrigin(file, inputs);
    const missing = names.filter((name) => !file.tensors.has(name));
    if (missing.length > 0) {
      const rule = `must hold what the losses compare with, got nothing for ${listed(missing, 2)}.`;
      throw new ModelError(file.path, `${rule} Let the teacher run with the same \`feature\`.`, { missing });
    }
    const results: Record<string, Values> = {};
    for (const name of names)
      results[name] = { data: await file.readFloats(name), shape: file.tensors.get(name)!.shape };
    return results;
  }

  #open(batch: number): Promise<SafetensorsFile> {
    return openSafetensors(this.#file(batch)).catch((error: unknown) => {
      const remedy = "Delete this file and let the teacher run again: its batch is computed anew.";
      throw damagedFile(this.#file(batch), error, remedy);
    });
  }

  #file(batch: number): string {
    return path.join(this.#folder, `batch-${String(batch).padStart(6, "0")}.safetensors`);
  }
}

function checkOrigin(file: SafetensorsFile, inputs: Readonly<Record<string, Values>>): void {
  if (file.metadata.inputs === digest(inputs)) return;
  const remedy = "Use the same data, seed, batch size and options, or another teacherCache.";
  throw new ModelError(file.path, `was computed from another batch. ${remedy}`);
}

function digest(inputs: Readonly<Record<string, Values>>): string {
  const hash = createHash("sha256");
  for (const [name, { data, shape }] of Object.entries(inputs)) {
    hash.update(`${name} ${shape.join("x")} `);
    hash.update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  }
  return hash.digest("hex");
}
