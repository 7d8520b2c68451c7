/** @file Reads a component's `config.json`: known fields with Diffusers' defaults; any other is refused by name. */

import { z } from "zod";
import { ModelError } from "../errors.js";
import { schemaProblem } from "../validation.js";

/** A field of which only these values are implemented; any other would change the result and is refused. */
export const only = (...values: readonly (string | number | boolean | null)[]) =>
  z
    .unknown()
    .refine((v) => v === undefined || values.some((w) => JSON.stringify(w) === JSON.stringify(v)), {
      error: () =>
        `must be ${values.map((v) => JSON.stringify(v)).join(" or ")}; nothing else is implemented`,
    })
    .optional();

/** A field without effect here, such as a training setting. */
export const ignored = z.unknown().optional();

/**
 * Parses `json` by `schema`. Keys that begin with `_` are metadata and not read. An unknown key is refused unless it is
 * null or false, as newer Diffusers versions write options that are off.
 */
export function parseConfig<T extends z.ZodObject>(schema: T, json: unknown, file: string): z.output<T> {
  if (typeof json !== "object" || json === null || Array.isArray(json)) {
    throw new ModelError(file, `must be a JSON object, got ${JSON.stringify(json)?.slice(0, 40)}.`);
  }
  const entries = Object.entries(json).filter(
    ([key, value]) => !key.startsWith("_") && (key in schema.shape || (value !== null && value !== false)),
  );
  const unknown = entries.find(([key]) => !(key in schema.shape));
  if (unknown) {
    const value = JSON.stringify(unknown[1]);
    throw new ModelError(
      file,
      `${unknown[0]}: is not a supported field, got ${value}. It may change the result, so it is not ignored.`,
    );
  }
  const parsed = schema.safeParse(Object.fromEntries(entries));
  if (parsed.success) return parsed.data;
  const { field, rule } = schemaProblem(parsed.error, json, { schema });
  throw new ModelError(file, `${field}: ${rule}`);
}

export const size = z
  .int("must be a positive whole number")
  .positive("must be a positive whole number")
  .max(1 << 24);
export const sizes = z.array(size, "must be a list of positive whole numbers").min(1, "must not be empty");
export const positive = z.number("must be a positive number").positive("must be a positive number");
