/** @file Reads a component's `config.json`: known fields with Diffusers' defaults; any other is refused by name. */

import * as z from "zod/mini";
import { ModelError } from "../errors.js";
import { schemaProblem } from "../validation.js";

/** A field of which only these values are implemented; any other would change the result and is refused. */
export const only = (...values: readonly (string | number | boolean | null)[]) =>
  z.optional(
    z.unknown().check(
      z.refine((v) => v === undefined || values.some((w) => JSON.stringify(w) === JSON.stringify(v)), {
        error: () =>
          `must be ${values.map((v) => JSON.stringify(v)).join(" or ")}; nothing else is implemented`,
      }),
    ),
  );

/** A field without effect here, such as a training setting. */
export const ignored = z.optional(z.unknown());

/**
 * Parses `json` by `schema`. Keys that begin with `_` are metadata and not read. An unknown key is refused unless it is
 * null or false, as newer Diffusers versions write options that are off.
 */
export function parseConfig<T extends z.core.$ZodObject>(
  schema: T,
  json: unknown,
  file: string,
): z.output<T> {
  if (typeof json !== "object" || json === null || Array.isArray(json)) {
    throw new ModelError(file, `must be a JSON object, got ${JSON.stringify(json)?.slice(0, 40)}.`);
  }
  const entries = Object.entries(json).filter(
    ([key, value]) =>
      !key.startsWith("_") && (key in schema._zod.def.shape || (value !== null && value !== false)),
  );
  const unknown = entries.find(([key]) => !(key in schema._zod.def.shape));
  if (unknown) {
    const value = JSON.stringify(unknown[1]);
    throw new ModelError(
      file,
      `${unknown[0]}: is not a supported field, got ${value}. It may change the result, so it is not ignored.`,
    );
  }
  const parsed = z.safeParse(schema, Object.fromEntries(entries));
  if (parsed.success) return parsed.data;
  const { field, rule } = schemaProblem(parsed.error, json, { schema });
  throw new ModelError(file, `${field}: ${rule}`);
}

export const size = z
  .int("must be a positive whole number")
  .check(z.positive("must be a positive whole number"), z.maximum(1 << 24));
export const sizes = z
  .array(size, "must be a list of positive whole numbers")
  .check(z.minLength(1, "must not be empty"));
export const positive = z.number("must be a positive number").check(z.positive("must be a positive number"));
