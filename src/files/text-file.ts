/**
 * @file Decodes texts that people write: prompts, captions, tables, tokens. UTF-8, or UTF-16 with a byte order mark; line
 * ends become "\n", as in Python.
 */

/** A text, or the problem of its bytes: `line 3 must be ..., got .... Remedy.` */
export type Decoded = { readonly text: string } | { readonly fault: string };

/** Makes the error for a fault; the caller adds the name of the file and the option. */
export type Refuse = (fault: string) => Error;

const sliceBytes = 65_536;

/** Decodes a whole text. */
export function decodeText(bytes: Uint8Array): Decoded {
  const decoder = new StreamDecoder();
  let text = "";
  for (let at = 0; at <= bytes.length; at += sliceBytes) {
    const last = at + sliceBytes > bytes.length;
    const decoded = decoder.next(bytes.subarray(at, at + sliceBytes), last);
    if ("fault" in decoded) return decoded;
    text += decoded.text;
  }
  return { text };
}

/** Decodes a text of any length piece by piece. */
export async function* decodeChunks(
  chunks: AsyncIterable<Uint8Array>,
  refuse: Refuse,
): AsyncGenerator<string> {
  const decoder = new StreamDecoder();
  const passed = (decoded: Decoded): string => {
    if ("fault" in decoded) throw refuse(decoded.fault);
    return decoded.text;
  };
  for await (const chunk of chunks) {
    const text = passed(decoder.next(chunk));
    if (text !== "") yield text;
  }
  const end = passed(decoder.next(new Uint8Array(0), true));
  if (end !== "") yield end;
}

/** The lines of a text of any length, without their ends; a last "\n" ends the last line and begins no other. */
export async function* decodeLines(
  chunks: AsyncIterable<Uint8Array>,
  refuse: Refuse,
): AsyncGenerator<string> {
  let rest = "";
  for await (const text of decodeChunks(chunks, refuse)) {
    rest += text;
    if (!text.includes("\n")) continue; // splitting would flatten a long line once per piece of it
    const lines = rest.split("\n");
    rest = lines.pop()!;
    yield* lines;
  }
  if (rest !== "") yield rest;
}

class StreamDecoder {
  /** The first bytes, until there are two: they may be a byte order mark. */
  #head: Uint8Array = Buffer.alloc(0);
  #decoders: ReturnType<typeof decodersFor> | undefined;
  /** Bytes that `ahead` has decoded and `behind`, which finds the line of a fault, has not. */
  #previous: Uint8Array = Buffer.alloc(0);
  /** A line end whose second half may be in the next piece. */
  #held = "";
  #lines = 0;

  next(chunk: Uint8Array, last = false): Decoded {
    const bytes = this.#decoders ? chunk : Buffer.concat([this.#head, chunk]);
    if (!this.#decoders && bytes.length < 2 && !last) {
      this.#head = bytes;
      return { text: "" };
    }
    this.#decoders ??= decodersFor(bytes);
    const { ahead, behind } = this.#decoders;
    behind.decode(this.#previous, { stream: true });
    this.#previous = bytes;
    try {
      const text = ahead.decode(bytes, { stream: !last });
      return text.includes("\0") ? this.#fault(bytes) : { text: this.#withLineEnds(text, last) };
    } catch {
      return this.#fault(bytes);
    }
  }

  #withLineEnds(text: string, last: boolean): string {
    const all = this.#held + text;
    this.#held = last ? "" : /\r?\n?$/.exec(all)![0];
    // Files that were joined have a byte order mark at the beginning of each.
    const lines = all.slice(0, all.length - this.#held.length).replace(/(?:\r\n?|\n)\uFEFF?/g, "\n");
    this.#lines += lines.split("\n").length - 1;
    return lines;
  }

  /** The fault with the line of the first bytes that are not text; `behind` has decoded up to them. */
  #fault(bytes: Uint8Array): Decoded {
    const { encoding, behind } = this.#decoders!;
    let before = this.#held;
    try {
      for (let at = 0; at < bytes.length && !before.endsWith("\0"); at++)
        before += behind.decode(bytes.subarray(at, at + 1), { stream: true });
    } catch {
      // `before` ends where the fault is.
    }
    const line = 1 + this.#lines + (before.match(/\r\n?|\n/g)?.length ?? 0);
    const utf8 = encoding === "utf-8";
    const encodingName = utf8 ? "UTF-8" : "UTF-16, by its byte order mark";
    const zero = utf8 ? "a character 0, as in UTF-16 without a byte order mark" : "a character 0";
    const got = before.endsWith("\0") ? zero : "bytes that are not";
    return { fault: `line ${line} must be ${encodingName}, got ${got}. Save the text as UTF-8.` };
  }
}

function decodersFor([first, second]: Uint8Array) {
  const little = first === 0xff && second === 0xfe;
  const encoding = little ? "utf-16le" : first === 0xfe && second === 0xff ? "utf-16be" : "utf-8";
  const decoder = () => new TextDecoder(encoding, { fatal: true });
  return { encoding, ahead: decoder(), behind: decoder() };
}
