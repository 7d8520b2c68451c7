/** @file The programs of a training task: one for each size of batch, made when the first batch of that size is reached. */

import type { Values } from "../engine/engine.js";
import type { GradientProgram } from "./gradient-program.js";
import type { StepSize } from "./step.js";
import type { TargetNetwork } from "./step-distillation/target-network.js";

/** A program with the names of the inputs that it takes, and the target network where the loss needs one. */
export type StepProgram = { program: GradientProgram; inputs: readonly string[]; target?: TargetNetwork };

export class StepPrograms {
  readonly #make: (size: StepSize) => Promise<StepProgram>;
  readonly #made = new Map<string, Promise<StepProgram>>();

  constructor(make: (size: StepSize) => Promise<StepProgram>) {
    this.#make = make;
  }

  /** The program for batches of this size. Inputs that it does not take are left out. */
  async of(size: StepSize): Promise<Pick<GradientProgram, "run"> & { target: TargetNetwork | undefined }> {
    const key = Object.values(size).join("x");
    const made = this.#made.get(key) ?? this.#make(size);
    this.#made.set(key, made);
    const { program, inputs, target } = await made;
    const taken = (all: Readonly<Record<string, Values>>) =>
      Object.fromEntries(inputs.flatMap((name) => (all[name] ? [[name, all[name]] as const] : [])));
    return { run: (weights, all, into) => program.run(weights, taken(all), into), target };
  }

  async release(): Promise<void> {
    for (const made of this.#made.values()) {
      const { program, target } = await made;
      await program.release();
      await target?.release();
    }
  }
}
