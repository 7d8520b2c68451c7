/** @file Seeds: the default, the range of `torch.manual_seed`, and the seeds of a batch. */

import { InvalidRequest } from "../errors.js";

export type Seed = number | bigint;

/** A seed of 32 bits, which is all that PyTorch's CPU generator keeps. */
const randomSeed = (): number => crypto.getRandomValues(new Uint32Array(1))[0]!;

const [least, most] = [-(2n ** 63n), 2n ** 64n - 1n];

/**
 * A seed from 0 to 2^64 - 1. For -1 and undefined a random one; to other negative ones 2^64 is added, as in
 * `torch.manual_seed`. Throws InvalidRequest for a number that is not an integer of 64 bits.
 */
export function resolveSeed(seed: Seed = -1): bigint {
  if (typeof seed !== "bigint" && !Number.isSafeInteger(seed)) {
    const rule = `must be an integer, got ${JSON.stringify(seed)}. Beyond 2^53 write a bigint (5n).`;
    throw new InvalidRequest("seed", seed, rule);
  }
  const whole = BigInt(seed);
  if (whole === -1n) return BigInt(randomSeed());
  if (whole >= least && whole <= most) return BigInt.asUintN(64, whole);
  throw new InvalidRequest("seed", seed, `must be from ${least} to ${most}, got ${whole}.`);
}

/** The seed of the `index`-th image after one of `first`; after the largest comes 0. */
export const seedAfter = (first: bigint, index: number): bigint => BigInt.asUintN(64, first + BigInt(index));

/** A seed as text, its range not checked. */
export const seedPattern = /^-?\d{1,20}$/;

/** Whether a text is a seed from 0 to 2^64 - 1 in decimal; JSON and forms cannot hold 64 bits as a number. */
export const isSeed = (text: string): boolean => /^\d{1,20}$/.test(text) && BigInt(text) <= most;
