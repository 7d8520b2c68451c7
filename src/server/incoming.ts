/** @file Reads the stream of a request's body: whole, or to drop it; gives up when it stalls. */

import { HttpError } from "./problem.js";

/** Bytes of a refused body that are read away. */
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
   * Reads a refused body and drops it: many clients read no answer before they have sent all, and report only that the
   * connection was closed. Not for one that is far too long or stalls.
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

  /** The next part; throws where none arrives in time. */
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
