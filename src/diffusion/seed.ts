/** @file Which seed is meant, and which are the seeds of a batch. Must not know Node. */

import { InvalidRequest } from "../errors.js";

export type Seed = number | bigint;

/** A seed of 32 bits, which is all that PyTorch's CPU generator keeps. */
export const randomSeed = (): number => crypto.getRandomValues(new Uint32Array(1))[0]!;

const [least, most] = [-(2n ** 63n), 2n ** 64n - 1n];

/**
 * The seed from 0 to 2^64 - 1 that is meant: one is drawn for -1 or none; other negative ones are, as in
 * `torch.manual_seed`, 2^64 more. InvalidRequest for what is no whole number or beyond 64 bits.
 */
export function resolveSeed(seed: Seed = -1): bigint {
  if (typeof seed === "number" && !Number.isSafeInteger(seed)) {
    const rule = `must be a whole number, got ${seed}. Beyond 2^53 write a bigint (5n).`;
    throw new InvalidRequest("seed", seed, rule);
  }
  const whole = BigInt(seed);
  if (whole === -1n) return BigInt(randomSeed());
  if (whole >= least && whole <= most) return BigInt.asUintN(64, whole);
  throw new InvalidRequest("seed", seed, `must be from ${least} to ${most}, got ${whole}.`);
}

/** The seed of the `index`-th image after one of `first`; after the largest comes 0. */
export const seedAfter = (first: bigint, index: number): bigint => BigInt.asUintN(64, first + BigInt(index));

/** How a seed is written as text, where its range is not checked yet. */
export const seedPattern = /^-?\d{1,20}$/;

/** Whether a text is a whole seed of at least 0, in decimal: files and forms cannot hold 64 bits as a number. */
export const isSeed = (text: string): boolean => /^\d{1,20}$/.test(text) && BigInt(text) <= most;
