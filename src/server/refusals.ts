/**
 * @file Log lines about refused requests, since many clients hide the answer. No line has a key, a prompt or an image, and
 * a flood of refusals writes few lines.
 */

import type { Context } from "hono";
import { routePath } from "hono/route";
import type { Problem } from "./problem.js";

/** Fields whose values are logged: names that the server gives. Others may hold what is private. */
const loggedFields: ReadonlySet<string> = new Set([
  ...["model", "scheduler", "sampler_name", "sampler_index", "sd_model_checkpoint", "size", "rng"],
  ...["outputFormat", "output_format", "response_format", "quality", "style", "background", "moderation"],
]);

/** "POST /sdapi/v1/txt2img 422 steps: must be at most 150 on this server, got 1000." */
export function refusalLine(c: Context, { status, message, field }: Problem): string {
  const route = routePath(c, -1);
  // The path only where there is no such route: ids of jobs open their images.
  const where = route.endsWith("*") ? c.req.path.slice(0, 100) : route;
  const isLogged = field === undefined || loggedFields.has(field);
  const reason = isLogged ? message : message.replace(/, got ["'[{].*$/s, ", got another.");
  return escaped(`${c.req.method.slice(0, 20)} ${where} ${status} ${reason.slice(0, 300)}`);
}

/** Control characters, and those that turn the direction of writing, could forge lines or hide their content. */
const escaped = (text: string): string =>
  text.replace(
    /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu,
    (letter) => `\\u${letter.codePointAt(0)!.toString(16).padStart(4, "0")}`,
  );

export type RefusalLogOptions = {
  /** Lines that may come at once. */
  burst?: number;
  /** Lines in the long run. */
  perSecond?: number;
  /** In milliseconds. */
  now?: () => number;
};

/** Writes lines as long as they are few, and later how many were left out. */
export function refusalLog(
  write: (line: string) => void,
  { burst = 20, perSecond = 0.5, now = Date.now }: RefusalLogOptions = {},
): (line: string) => void {
  let [left, last, hidden] = [burst, now(), 0];
  return (line) => {
    left = Math.min(burst, left + ((now() - last) / 1000) * perSecond);
    last = now();
    if (left < 1) return void hidden++;
    left--;
    if (hidden > 0) write(`${hidden} more that are not shown`);
    hidden = 0;
    write(line);
  };
}
