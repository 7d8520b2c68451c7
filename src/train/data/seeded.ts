/** @file Random numbers that are seeded by values (seed, epoch, key), so that resuming needs no saved state. */

import { createHash } from "node:crypto";

/**
 * Uniform numbers in [0, 1), the same for the same words everywhere: `seeded(seed, "crop", epoch, key)`.
 * SHA-256 of the words seeds sfc32 (C. Doty-Humphrey, PractRand).
 */
export function seeded(...words: readonly (string | number)[]): () => number {
  const digest = createHash("sha256").update(JSON.stringify(words)).digest();
  let [a, b, c, counter] = [0, 4, 8, 12].map((at) => digest.readInt32LE(at)) as [
    number,
    number,
    number,
    number,
  ];
  return () => {
    const sum = (a + b + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (((c << 21) | (c >>> 11)) + sum) | 0;
    return (sum >>> 0) / 2 ** 32;
  };
}

/** A whole number from 0 to `count` - 1. */
export function below(count: number, random: () => number): number {
  return Math.floor(random() * count);
}

/** The items in random order (Fisher and Yates); the input stays as it is. */
export function shuffled<T>(items: readonly T[], random: () => number): T[] {
  const result = [...items];
  for (let last = result.length - 1; last > 0; last--) {
    const other = below(last + 1, random);
    [result[last], result[other]] = [result[other]!, result[last]!];
  }
  return result;
}
