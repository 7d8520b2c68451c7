/** @file SHA-256, as Node computes it; in a browser `hash.browser.ts` takes this module's place. */

import { createHash } from "node:crypto";

/** A hash that is fed piece by piece. */
export type Hash = {
  update(bytes: Uint8Array | string): void;
  /** The digest in hexadecimal digits; it must not be fed afterwards. */
  hex(): string;
};

export function sha256(): Hash {
  const hash = createHash("sha256");
  return { update: (bytes) => void hash.update(bytes), hex: () => hash.digest("hex") };
}
