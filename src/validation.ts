/**
 * @file Problems of values that callers give, as our sentence `field: rule, got value. Remedy.`: what a Zod schema finds,
 * and options that a function does not have.
 */

import type * as z from "zod/v4/core";
import { closest } from "./closest.js";
import { InvalidRequest, listed } from "./errors.js";
import { describe } from "./files/json.js";

export type SchemaProblem = {
  /** The path of the field, joined by dots; "" for the whole value. */
  field: string;
  value: unknown;
  /** The sentence after the field's name. */
  rule: string;
};

export type ProblemOptions = {
  /** Its fields are suggested for a misspelt one. */
  schema?: z.$ZodType | undefined;
  /** What is said of a field that the schema does not have. */
  unknown?: string;
  /** What to do about it, where no field has a similar name. */
  remedy?: string;
};

/** The first problem that `error` names of `data`; an unknown field before all others, as it explains most. */
export function schemaProblem(
  error: z.$ZodError,
  data: unknown,
  { schema, unknown = "is not a field here", remedy }: ProblemOptions = {},
): SchemaProblem {
  const issue = error.issues.find(({ code }) => code === "unrecognized_keys") ?? error.issues[0]!;
  if (issue.code !== "unrecognized_keys") {
    const value = valueAt(data, issue.path);
    return { field: issue.path.map(String).join("."), value, rule: `${ruleOf(issue)}, got ${shown(value)}.` };
  }
  const name = String(issue.keys[0]).slice(0, 100);
  const near = closest(name, fieldsAt(schema, issue.path));
  const hint = near === undefined ? remedy : `Did you mean "${near}"?`;
  return {
    field: [...issue.path.map(String), name].join("."),
    value: valueAt(data, [...issue.path, name]),
    rule: `${unknown}.${hint === undefined ? "" : ` ${hint}`}`,
  };
}

/** Every name of an options type, of which the compiler checks that none is left out. */
export type OptionNames<T> = Readonly<Record<keyof T, true>>;

/** Refuses a misspelt option, which would be ignored; InvalidRequest. `owner` is the function or type that has `names`. */
export function checkOptionNames(
  owner: string,
  options: unknown,
  names: Readonly<Record<string, true>>,
): void {
  if (typeof options !== "object" || options === null || Array.isArray(options))
    throw new InvalidRequest("options", options, `of ${owner} must be an object, got ${describe(options)}.`);
  const unknown = Object.entries(options).find(
    ([name, value]) => value !== undefined && !Object.hasOwn(names, name),
  );
  if (unknown === undefined) return;
  const [name, value] = unknown;
  const near = closest(name, Object.keys(names));
  const remedy = near === undefined ? "Leave it out." : `Did you mean "${near}"?`;
  throw new InvalidRequest(name, value, `is not an option of ${owner}. ${remedy}`);
}

/** A value as JSON where it is short, else by its kind. */
function shown(value: unknown): string {
  const text = JSON.stringify(value) as string | undefined;
  return text !== undefined && text.length <= 60 ? text : describe(value);
}

function ruleOf(issue: z.$ZodIssue): string {
  if (issue.message.startsWith("must")) return issue.message;
  switch (issue.code) {
    case "invalid_type":
      return `must be ${kinds[issue.expected] ?? issue.expected}`;
    case "too_big":
      return `must be at most ${issue.maximum}${units[issue.origin] ?? ""}`;
    case "too_small":
      return `must be at least ${issue.minimum}${units[issue.origin] ?? ""}`;
    case "invalid_value":
      return `must be one of ${listed(issue.values.map(String), 20)}`;
    case "unrecognized_keys":
    case "invalid_format":
    case "invalid_union":
    case "not_multiple_of":
    case "invalid_key":
    case "invalid_element":
    case "custom":
      return `must be valid (${issue.message})`;
    default:
      return issue satisfies never;
  }
}

const kinds: Readonly<Record<string, string>> = {
  string: "text",
  number: "a number",
  int: "a whole number",
  boolean: "true or false",
  object: "an object",
  array: "a list",
};

const units: Readonly<Record<string, string>> = { string: " characters", array: " items", file: " bytes" };

function valueAt(data: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>(
    (inner, key) =>
      typeof inner === "object" && inner !== null && Object.hasOwn(inner, key)
        ? (inner as Record<PropertyKey, unknown>)[key]
        : undefined,
    data,
  );
}

/** The names of the fields of the object that a schema has at a path. */
function fieldsAt(schema: z.$ZodType | undefined, path: readonly PropertyKey[]): string[] {
  const fields = (at: unknown) => objectIn(at)?._zod.def.shape ?? {};
  const found = path.reduce<unknown>((at, key) => (fields(at) as Record<PropertyKey, unknown>)[key], schema);
  return Object.keys(fields(found));
}

/** The object schema inside optional, nullable and default ones. */
function objectIn(schema: unknown): z.$ZodObject | undefined {
  const def = (schema as z.$ZodType | undefined)?._zod.def;
  const { type, innerType } = (def ?? {}) as { type?: string; innerType?: unknown };
  if (type === "object") return schema as z.$ZodObject;
  return innerType === undefined ? undefined : objectIn(innerType);
}
