/**
 * @file Reads the bodies of requests whole, within limits of their size, of their sum and of their structure, before any
 * parser sees them.
 */

import { isUtf8 } from "node:buffer";
import type { Context, MiddlewareHandler } from "hono";
import { HTTPException } from "hono/http-exception";
import { Busy } from "../errors.js";
import { bodiesAtOnce, plainBodiesAtOnce, plainBodyBytes } from "../jobs/limits.js";
import type { Limits } from "../jobs/model-schemas.js";
import { ByteBudget, type Share } from "./byte-budget.js";
import { Incoming } from "./incoming.js";
import { checkJson } from "./json-bounds.js";
import { HttpError, tooLarge } from "./problem.js";

/** Parts of a form: its fields, and as many images as OpenAI's clients may send. */
const mostParts = 100;

export type BodyTimes = {
  /** How long a request waits for room. */
  patienceSeconds?: number;
  /** A body of which nothing arrives for so long is given up. */
  stalledSeconds?: number;
};

export class Bodies {
  readonly #most: number;
  readonly #takesImages: (path: string) => boolean;
  /** Two budgets, so that bodies with images do not keep small requests out. */
  readonly #withImages: ByteBudget;
  readonly #plain: ByteBudget;
  readonly #stalledSeconds: number;
  readonly #shares = new WeakMap<Context, Share>();

  /** `takesImages` says which paths take bodies of `limits.bodyBytes`; all others take what texts need. */
  constructor(
    { bodyBytes }: Pick<Limits, "bodyBytes">,
    takesImages: (path: string) => boolean,
    { patienceSeconds = 3, stalledSeconds = 10 }: BodyTimes = {},
  ) {
    this.#most = bodyBytes;
    this.#takesImages = takesImages;
    this.#withImages = new ByteBudget(bodiesAtOnce * bodyBytes, patienceSeconds * 1000);
    this.#plain = new ByteBudget(plainBodiesAtOnce * plainBodyBytes, patienceSeconds * 1000);
    this.#stalledSeconds = stalledSeconds;
  }

  readonly middleware: MiddlewareHandler = async (c, next) => {
    if (["GET", "HEAD"].includes(c.req.method) || !c.req.raw.body) return next();
    const takesImages = this.#takesImages(c.req.path);
    const most = takesImages ? this.#most : Math.min(plainBodyBytes, this.#most);
    const body = new Incoming(c.req.raw.body, this.#stalledSeconds);
    try {
      const share = await this.#shareFor(c, takesImages, most);
      this.#shares.set(c, share);
      keep(c, await body.whole(most, () => tooLarge(most, takesImages)));
    } catch (error) {
      this.#shares.get(c)?.release();
      await body.readAway();
      throw error;
    }
    try {
      await next();
    } finally {
      this.forget(c);
    }
  };

  async #shareFor(c: Context, takesImages: boolean, most: number): Promise<Share> {
    const length = declaredLength(c);
    refuseEncoded(c);
    if (length !== undefined && length > most) throw tooLarge(most, takesImages);
    const budget = takesImages ? this.#withImages : this.#plain;
    const share = await budget.take(length ?? most, c.req.raw.signal);
    if (!share) throw new Busy("bytes of other requests");
    return share;
  }

  /** Drops what is kept of a request's body: for a route that has made its job of it and now waits for that. */
  forget(c: Context): void {
    c.req.bodyCache = {};
    for (const target of ["json", "form"] as const) c.req.addValidatedData(target, {});
    this.#shares.get(c)?.release();
  }
}

/** Of a body in chunks, none. */
function declaredLength(c: Context): number | undefined {
  const length = c.req.header("content-length");
  const chunked = c.req.header("transfer-encoding") !== undefined;
  return length !== undefined && !chunked && /^\d{1,15}$/.test(length) ? Number(length) : undefined;
}

function refuseEncoded(c: Context): void {
  const encoding = c.req.header("content-encoding");
  if (encoding === undefined || encoding === "identity") return;
  const message = `content-encoding: must be none, got ${JSON.stringify(encoding.slice(0, 40))}. Send it as it is.`;
  throw new HttpError({ status: 415, code: "unsupported_media_type", message });
}

/** Gives a body to Hono's parsers, once it is within their limits. */
function keep(c: Context, bytes: Buffer): void {
  const type = c.req.header("content-type") ?? "";
  const isJson = /^application\/([\w.-]+\+)?json/i.test(type);
  if (isJson) {
    checkText(bytes, type);
    checkJson(bytes);
  }
  if (/^multipart\//i.test(type)) checkParts(bytes, type);
  // Forms of this kind cannot carry an image, and its parser takes a second for 16 MB.
  if (/^application\/x-www-form-urlencoded/i.test(type)) throw new HTTPException(415);
  if (isJson) cache(c, "text", seedsAsText(withoutMark(bytes).toString("utf8")));
  else cache(c, "arrayBuffer", new Uint8Array(bytes).buffer);
}

/** As if Hono had read it itself. What it keeps are promises, whatever its types say. */
function cache(c: Context, kind: "text" | "arrayBuffer", value: string | ArrayBuffer): void {
  c.req.bodyCache = { [kind]: Promise.resolve(value) };
}

/**
 * A JSON text with seeds beyond 2^53 as strings, so that `JSON.parse` keeps their digits. Inside a string the quote
 * behind the name would have a backslash before it.
 */
const seedsAsText = (json: string): string =>
  json.replace(/("seed"\s*:\s*)(-?\d{16,20})(?=\s*[,}])/g, '$1"$2"');

/** Some programs write a byte order mark before JSON, which `JSON.parse` refuses. */
const withoutMark = (bytes: Buffer): Buffer =>
  bytes.subarray(0, 3).toString("latin1") === "\xef\xbb\xbf" ? bytes.subarray(3) : bytes;

/** Parsers put U+FFFD for what is not UTF-8, and the prompt would be another. RFC 8259, section 8.1, allows nothing else. */
function checkText(bytes: Buffer, type = ""): void {
  const [, charset = "utf-8"] = /;\s*charset="?([^\s;"]{1,40})/i.exec(type) ?? [];
  if (!/^(utf-?8|us-ascii)$/i.test(charset)) {
    const message = `content-type: must have the charset utf-8, got ${charset}. Send the text in UTF-8.`;
    throw new HttpError({ status: 415, code: "unsupported_media_type", message });
  }
  if (isUtf8(bytes)) return;
  const message = "body: must be text in UTF-8, got another encoding. Send it in UTF-8.";
  throw new HttpError({ status: 400, code: "bad_request", message });
}

/** The parser of forms makes an object for each part, however small. */
function checkParts(bytes: Buffer, type: string): void {
  const [, quoted, plain] = /;\s*boundary=(?:"([^"]{1,70})"|([^\s;"]{1,70}))/i.exec(type) ?? [];
  const boundary = quoted ?? plain;
  if (boundary === undefined) return; // refused by the parser
  const delimiter = Buffer.from(`--${boundary}`, "latin1");
  let [parts, start] = [0, 0];
  for (let at = bytes.indexOf(delimiter); at >= 0; at = bytes.indexOf(delimiter, at + delimiter.length)) {
    // Inside an image's bytes a short boundary may occur, at the start of a line it may not.
    if (at > 0 && bytes[at - 1] !== 0x0a) continue;
    if (++parts > mostParts + 1) {
      const message = `body: must be a form of at most ${mostParts} parts, got more. Send less.`;
      throw new HttpError({ status: 400, code: "bad_request", message });
    }
    const part = bytes.subarray(start, at);
    if (!isFile(part)) checkText(part);
    start = at + delimiter.length;
  }
}

/** Whether a part of a form is a file, of any bytes; others are text. */
function isFile(part: Buffer): boolean {
  const headers = part.subarray(0, Math.max(0, part.indexOf("\r\n\r\n"))).toString("latin1");
  return /;\s*filename\*?=/i.test(headers);
}
