/** @file What all jobs of a tab wait for, for those who follow them. */

export class Status {
  readonly #followers = new Set<(text: string | null) => void>();
  #text: string | null = null;

  set(text: string | null): void {
    if (text === this.#text) return;
    this.#text = text;
    for (const follower of this.#followers) follower(text);
  }

  /** Calls `follower` with what is there, if anything, and with every change until the returned function is called. */
  follow(follower: (text: string | null) => void): () => void {
    if (this.#text !== null) follower(this.#text);
    this.#followers.add(follower);
    return () => void this.#followers.delete(follower);
  }
}
