/** @file Rows of the scheduler tables: one per class of scheduler. Knows no table. */

import { InvalidRequest } from "../../src/errors.js";
import type { Computed, Golden, Numbers, Row, Wanted } from "../row.js";
import { told } from "./schema.js";

type Named = { id: string; scheduler: string };
export type Part<T> = readonly [suffix: string, value: T];

/** A row per class, whose tensors are called `<id> <suffix>`. */
export function byClass<T extends Named>(
  what: string,
  entries: readonly T[],
  compute: (entry: T) => Promise<Part<Numbers | Error>[]>,
  expected: (entry: T) => Promise<Part<Wanted>[]>,
): Row[] {
  const gather = async <V>(mine: readonly T[], each: (entry: T) => Promise<Part<V>[]>) => {
    const all = new Map<string, V>();
    for (const entry of mine) {
      const parts = await each(entry).catch((error: Error) => {
        throw new Error(`${told(entry)}: ${error.message}`, { cause: error });
      });
      for (const [suffix, value] of parts) all.set(`${told(entry)} ${suffix}`.trim(), value);
    }
    return all;
  };
  return [...new Set(entries.map((e) => e.scheduler))].map((scheduler) => {
    const mine = entries.filter((e) => e.scheduler === scheduler);
    return {
      name: `${what}/${scheduler}`,
      compute: (): Promise<Computed> => gather(mine, compute),
      expected: (): Promise<Golden> => gather(mine, expected),
    };
  });
}

/** A refusal is a result: anything else that is thrown is a fault. */
export async function orRefusal<T>(compute: () => T | Promise<T>): Promise<T | Error> {
  try {
    return await compute();
  } catch (error) {
    if (error instanceof InvalidRequest) return error;
    throw error;
  }
}
