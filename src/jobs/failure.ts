/**
 * @file A job's failure as clients read it: errors of errors.ts in full but for paths of this machine, of a bug only that
 * it was one.
 */

import { EngineError, FlaggedImageError, InvalidRequest, ModelError } from "../errors.js";
import { namedFileError } from "../files/file-errors.js";
import path from "../files/path.js";
import type { JobFailure } from "./schemas.js";

/** The failure of a job whose record is gone before its end: Redis was emptied, or restarted without its data. */
export const dataLost: JobFailure = {
  code: "lost",
  message: "queue: must keep a job until it ends, got a Redis that lost its data. Send the request again.",
};

export function failureOf(thrown: unknown): JobFailure {
  const error = namedFileError(thrown);
  if (error instanceof InvalidRequest)
    return { code: "invalid_request", message: error.message, field: error.field };
  if (error instanceof FlaggedImageError) return { code: "flagged", message: error.message, field: "safety" };
  if (error instanceof ModelError)
    return { code: "model_error", message: withoutPaths(error.message.replaceAll(error.file, ending)) };
  if (error instanceof EngineError) return { code: "engine_error", message: withoutPaths(error.message) };
  return {
    code: "internal",
    message: "internal: the job failed, by a fault of the server. Its log says why.",
  };
}

/** Whether an error belongs in the server's log: what is wrong with a request, its client reads. */
export const isForTheLog = (error: unknown): boolean =>
  !(error instanceof InvalidRequest || error instanceof FlaggedImageError);

/** The folder and the file: "unet/config.json". */
const ending = (file: string): string => file.split(path.sep).slice(-2).join("/");

/** Other paths are cut to their last name, as in ONNX Runtime's messages. */
const withoutPaths = (message: string): string =>
  message.replace(/(^|[\s"'([=:])(?:[A-Za-z]:)?[\\/](?:[^\s"'()[\]:\\/]+[\\/])+/g, "$1");
