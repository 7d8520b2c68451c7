/** @file Groups scheduler entries into one check per scheduler class; independent of what is compared. */

import { InvalidRequest } from "../../src/errors.js";
import type { Check, Computed, Expectation, Expectations, TensorData } from "../conformance/check.js";
import { describe } from "./schema.js";

type Named = { id: string; scheduler: string };
export type NamedValue<T> = readonly [suffix: string, value: T];

/** A row per class, whose tensors are called `<id> <suffix>`. */
export function byClass<T extends Named>(
  what: string,
  entries: readonly T[],
  compute: (entry: T) => Promise<NamedValue<TensorData | Error>[]>,
  expected: (entry: T) => Promise<NamedValue<Expectation>[]>,
): Check[] {
  const gather = async <V>(mine: readonly T[], each: (entry: T) => Promise<NamedValue<V>[]>) => {
    const all = new Map<string, V>();
    for (const entry of mine) {
      const parts = await each(entry).catch((error: Error) => {
        throw new Error(`${describe(entry)}: ${error.message}`, { cause: error });
      });
      for (const [suffix, value] of parts) all.set(`${describe(entry)} ${suffix}`.trim(), value);
    }
    return all;
  };
  return [...new Set(entries.map((e) => e.scheduler))].map((scheduler) => {
    const mine = entries.filter((e) => e.scheduler === scheduler);
    return {
      name: `${what}/${scheduler}`,
      compute: (): Promise<Computed> => gather(mine, compute),
      expected: (): Promise<Expectations> => gather(mine, expected),
    };
  });
}

/** A refusal is a result: anything else that is thrown is a fault. */
export async function orInvalidRequest<T>(compute: () => T | Promise<T>): Promise<T | Error> {
  try {
    return await compute();
  } catch (error) {
    if (error instanceof InvalidRequest) return error;
    throw error;
  }
}
