/** @file An unbounded asynchronous queue of values for one reader, which ends or fails. */

export class Channel<T> implements AsyncIterable<T> {
  readonly #values: T[] = [];
  #end: { error?: unknown } | undefined;
  #wake: (() => void) | undefined;

  push(value: T): void {
    if (this.#end) return;
    this.#values.push(value);
    this.#wake?.();
  }

  /** Ends it after the pushed values; with an error, which the reader then throws. */
  end(failure: { error?: unknown } = {}): void {
    this.#end ??= failure;
    this.#wake?.();
  }

  /** Removes unread values. */
  forget(drop: (value: T) => boolean): void {
    if (this.#values.length === 0) return;
    const kept = this.#values.filter((value) => !drop(value));
    this.#values.splice(0, this.#values.length, ...kept);
  }

  get waiting(): number {
    return this.#values.length;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T, void> {
    while (true) {
      while (this.#values.length > 0) yield this.#values.shift()!;
      if (this.#end) {
        if ("error" in this.#end) throw this.#end.error;
        return;
      }
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}
