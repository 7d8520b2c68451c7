/** @file The warnings of a request, each emitted once and kept by prompt. Must not import Node. */

export class Warnings {
  readonly #onWarning: (message: string) => void;
  /** Each message with the indices of the prompts it is about; undefined: all of them. */
  readonly #prompts = new Map<string, Set<number> | undefined>();

  constructor(onWarning: (message: string) => void = (message) => console.warn(message)) {
    this.#onWarning = onWarning;
  }

  /** Emits a message the first time; `prompt` is the index of the prompt it is about, if it is about one. */
  add(message: string, prompt?: number): void {
    const known = this.#prompts.has(message);
    const prompts = this.#prompts.get(message);
    if (prompt === undefined) this.#prompts.set(message, undefined);
    else if (!known) this.#prompts.set(message, new Set([prompt]));
    else prompts?.add(prompt);
    if (!known) this.#onWarning(message);
  }

  get all(): readonly string[] {
    return [...this.#prompts.keys()];
  }

  /** Those about every prompt, and those about this one. */
  of(prompt: number): readonly string[] {
    return this.all.filter((message) => this.#prompts.get(message)?.has(prompt) ?? true);
  }
}
