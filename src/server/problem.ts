/** @file What is thrown while a request is answered, as an HTTP status, a code and a sentence, which each API writes in its own form. */

import { HTTPException } from "hono/http-exception";
import { Busy, Cancelled } from "../errors.js";
import { failureOf } from "../jobs/failure.js";
import { Draining, QueueFull, QueueUnreachable } from "../jobs/queue.js";
import type { JobFailure } from "../jobs/schemas.js";

export type Problem = {
  status: 400 | 401 | 403 | 404 | 405 | 408 | 409 | 413 | 415 | 422 | 429 | 500 | 503;
  code: string;
  message: string;
  field?: string | undefined;
  retryAfter?: number;
  headers?: Readonly<Record<string, string>>;
  /** What was thrown, where it is a bug. */
  bug?: unknown;
};

/** A problem that is thrown. */
export class HttpError extends Error {
  override name = "HttpError" as const;
  readonly problem: Problem;

  constructor(problem: Problem) {
    super(problem.message);
    this.problem = problem;
  }
}

/** A job that a client waited for failed. */
export class JobFailed extends Error {
  override name = "JobFailed" as const;
  readonly failure: JobFailure;

  constructor(failure: JobFailure) {
    super(failure.message);
    this.failure = failure;
  }
}

export const notFound = (what: string, got: string): HttpError => {
  const message = `${what}: must be one that is there, got ${JSON.stringify(got.slice(0, 80))}.`;
  return new HttpError({ status: 404, code: "not_found", message, field: what });
};

/** The body of a request is too large. */
export function tooLarge(most: number, takesImages: boolean): HttpError {
  const where = takesImages ? "on this server" : "where no image is taken";
  const message = `body: must be at most ${most} bytes ${where}, got more. Send less.`;
  return new HttpError({ status: 413, code: "too_large", message });
}

export function problemOf(error: unknown): Problem {
  if (error instanceof HttpError) return error.problem;
  if (error instanceof QueueFull) {
    const { message, retryAfterSeconds } = error;
    return { status: 429, code: "queue_full", message, retryAfter: retryAfterSeconds };
  }
  if (error instanceof Busy) return { status: 503, code: "busy", message: error.message, retryAfter: 5 };
  if (error instanceof Draining)
    return { status: 503, code: "stopping", message: error.message, retryAfter: 5 };
  if (error instanceof QueueUnreachable)
    return { status: 503, code: "unreachable", message: error.message, retryAfter: 10 };
  if (error instanceof Cancelled) return { status: 409, code: "cancelled", message: error.message };
  if (error instanceof HTTPException) return fromHono(error);
  if (error instanceof JobFailed) return failed(error.failure);
  const failure = failureOf(error);
  if (failure.code === "internal") failure.message = notAnswered;
  return { ...failed(failure), ...(failure.code !== "invalid_request" && { bug: error }) };
}

/** Instead of a message about a job. */
const notAnswered =
  "internal: the request could not be answered, by a fault of the server. Its log says why.";

function failed({ code, message, field }: JobFailure): Problem {
  if (code === "invalid_request" || code === "flagged") return { status: 422, code, message, field };
  if (code === "unavailable") return { status: 503, code, message, retryAfter: 30 };
  return { status: 500, code, message };
}

/** A problem's field, and the message that begins with it, under another API's name of the field. */
export function underName(
  { message, field }: Problem,
  names: Readonly<Record<string, string>>,
): { field: string | undefined; message: string } {
  if (field === undefined) return { field, message };
  const name = Object.hasOwn(names, field) ? names[field]! : field;
  const own = message.startsWith(`${field}: `);
  return { field: name, message: own ? `${name}: ${message.slice(field.length + 2)}` : message };
}

/** Hono's own errors, and its validators'. */
function fromHono({ status, message }: HTTPException): Problem {
  switch (status) {
    case 415: {
      const rule = "must be what this route takes (application/json, or multipart/form-data for edits)";
      return { status, code: "unsupported_media_type", message: `content-type: ${rule}.` };
    }
    default:
      return {
        status: 400,
        code: "bad_request",
        message: `body: cannot be read: ${message.replace(/\.$/, "")}.`,
      };
  }
}
