/** @file What a schema found wrong, in the form of all our messages: `field: rule, got value. Remedy.` */

import type { z } from "@hono/zod-openapi";
import { closest } from "../closest.js";
import { InvalidRequest, listed } from "../errors.js";
import { describe } from "../files/json.js";

type Issue = z.core.$ZodIssue;

/** The first thing wrong with `data`; `known` are the fields there are, for one that is misspelt. */
export function invalidRequest(
  error: z.core.$ZodError,
  data: unknown,
  known: readonly string[] = [],
): InvalidRequest {
  const issue = error.issues.find(({ code }) => code === "unrecognized_keys") ?? error.issues[0]!;
  if (issue.code === "unrecognized_keys") return unknownField(issue, known);
  const field = issue.path.map(String).join(".") || "body";
  const value = at(data, issue.path);
  return new InvalidRequest(field.slice(0, 200), undefined, `${ruleOf(issue)}, got ${describe(value)}.`);
}

function unknownField(
  { path, keys }: Extract<Issue, { code: "unrecognized_keys" }>,
  known: readonly string[],
) {
  const name = String(keys[0]).slice(0, 100);
  const near = closest(name, known);
  const hint = near === undefined ? "Leave it out." : `Did you mean "${near}"?`;
  return new InvalidRequest([...path, name].map(String).join("."), undefined, `is not a field here. ${hint}`);
}

function ruleOf(issue: Issue): string {
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
      return issue.message.startsWith("must") ? issue.message : `must be valid (${issue.message})`;
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

function at(value: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>(
    (inner, key) =>
      typeof inner === "object" && inner !== null && Object.hasOwn(inner, key)
        ? (inner as Record<PropertyKey, unknown>)[key]
        : undefined,
    value,
  );
}
