/**
 * @file The error classes of the library, command line and server. Every message has the form `where: rule, got value. Remedy.`
 *
 * Anything else that is thrown is a bug of ours; its message begins with `internal:`.
 */

/** A request that cannot be fulfilled: an argument, a setting or a combination of them. */
export class InvalidRequest extends Error {
  override name = "InvalidRequest" as const;
  readonly field: string;
  readonly value: unknown;
  /** The message without the field. */
  readonly rule: string;

  /** `rule` is what must hold, with the remedy: "must be a multiple of 8, got 500. Nearest: 496 or 504." */
  constructor(field: string, value: unknown, rule: string) {
    super(`${field}: ${rule}`);
    this.field = field;
    this.value = value;
    this.rule = rule;
  }
}

/** A file of a model is missing, broken, or does not fit its config. */
export class ModelError extends Error {
  override name: "ModelError" | "FileError" = "ModelError";
  readonly file: string;
  readonly missing: readonly string[];
  readonly unexpected: readonly string[];

  constructor(file: string, problem: string, found: { missing?: string[]; unexpected?: string[] } = {}) {
    super(`${file}: ${problem}`);
    this.file = file;
    this.missing = found.missing ?? [];
    this.unexpected = found.unexpected ?? [];
  }
}

/** A file or folder cannot be read or written; `code` is the system's error code (EACCES, ENOSPC, EMFILE). */
export class FileError extends ModelError {
  override name = "FileError" as const;
  readonly code: string;

  constructor(file: string, code: string, problem: string, cause?: unknown) {
    super(file, problem);
    this.code = code;
    if (cause !== undefined) this.cause = cause;
  }

  /** The same error with more text at its end. */
  saying(more: string): FileError {
    return new FileError(
      this.file,
      this.code,
      `${this.message.slice(this.file.length + 2)} ${more}`,
      this.cause,
    );
  }
}

/** An operation was given tensors whose shapes do not fit; `path` is the layer's path in the weights. */
export class ShapeError extends Error {
  override name = "ShapeError" as const;
  readonly path: string;

  constructor(path: string, problem: string) {
    super(path ? `${path}: ${problem}` : problem);
    this.path = path;
  }
}

/** ONNX Runtime failed to load or run a program. */
export class EngineError extends Error {
  override name: "EngineError" | "DeviceLostError" | "DeviceMemoryError" = "EngineError";
  readonly program: string;

  constructor(program: string, cause: unknown) {
    super(`${program}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
    this.program = program;
  }
}

/**
 * The graphics device was reset or removed while a program was on it. Programs that were loaded there are gone; a
 * pipeline loads its own again when they are next used.
 */
export class DeviceLostError extends EngineError {
  override name = "DeviceLostError" as const;
}

/** The graphics device has no memory left for a program. The programs that are loaded stay usable. */
export class DeviceMemoryError extends EngineError {
  override name = "DeviceMemoryError" as const;
}

/** The cause of an EngineError about numbers that are not finite: the engine itself is well. */
export class NotFinite extends Error {}

/** The caller's AbortSignal fired. */
export class Cancelled extends Error {
  override name = "Cancelled" as const;

  constructor(what = "the generation") {
    super(`${what} was cancelled`);
  }
}

/** A safety checker flagged images of a request whose `safety` is "refuse", so none of them is given. */
export class FlaggedImageError extends Error {
  override name = "FlaggedImageError" as const;
  /** Places of the flagged images in the request, from 0. */
  readonly flagged: readonly number[];

  constructor(flagged: readonly number[], of: number) {
    const which = of === 1 ? "the image" : `${flagged.length} of ${of} images`;
    super(
      `safety: must be images that the safety checker does not flag, got ${which} flagged. ` +
        'Change the prompt or the seed, or take "blur".',
    );
    this.flagged = flagged;
  }
}

/** A limit of concurrent work is reached; the same request may be sent again later. */
export class Busy extends Error {
  override name = "Busy" as const;

  constructor(what: string) {
    super(`server: must have room, got as many ${what} as it takes at once. Send it again shortly.`);
  }
}

/** Lists a few names in quotes and counts the rest: `"a", "b" and 3 more`. */
export function listed(names: readonly string[], most = 5): string {
  const shown = names.slice(0, most).map((n) => `"${n}"`);
  const rest = names.length - shown.length;
  return rest > 0 ? `${shown.join(", ")} and ${rest} more` : shown.join(", ");
}
