/** @file A request's body as it comes in: kept whole, or let pass; given up when it stops coming. */

import { HttpError } from "./problem.js";

/** Of a body that is refused, so much is waited for. */
const mostReadAway = 2 ** 26;

export class Incoming {
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  readonly #stalledSeconds: number;

  constructor(body: ReadableStream<Uint8Array>, stalledSeconds: number) {
    this.#reader = body.getReader();
    this.#stalledSeconds = stalledSeconds;
  }

  async whole(most: number, tooMuch: () => HttpError): Promise<Buffer> {
    const parts: Uint8Array[] = [];
    let size = 0;
    for await (const part of this.#parts()) {
      size += part.length;
      if (size > most) throw tooMuch();
      parts.push(part);
    }
    return Buffer.concat(parts, size);
  }

  /**
   * Lets a refused body come in and drops it: many clients read no answer before they have sent all, and of a
   * connection that was closed on them they tell nothing else. For one that is far too long or stops, nobody waits.
   */
  async readAway(): Promise<void> {
    let left = mostReadAway;
    try {
      for await (const part of this.#parts()) {
        left -= part.length;
        if (left < 0) return;
      }
    } catch {
      // It stopped coming: the answer is all that is left to send.
    }
  }

  async *#parts(): AsyncGenerator<Uint8Array, void> {
    for (;;) {
      const next = await this.#next();
      if (next.done) return;
      yield next.value;
    }
  }

  /** What comes next, unless nothing does for too long. */
  async #next() {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        void this.#reader.cancel();
        reject(stalled(this.#stalledSeconds));
      }, this.#stalledSeconds * 1000);
    });
    try {
      return await Promise.race([late, this.#reader.read().catch(brokenOff)]);
    } finally {
      clearTimeout(timer);
    }
  }
}

function brokenOff(): never {
  const message = "body: must arrive whole, got less than was announced. Send it again.";
  throw new HttpError({ status: 400, code: "bad_request", message });
}

function stalled(seconds: number): HttpError {
  const message = `body: must keep coming, got nothing for ${seconds} s. Send it again.`;
  return new HttpError({ status: 408, code: "timeout", message, headers: { connection: "close" } });
}
