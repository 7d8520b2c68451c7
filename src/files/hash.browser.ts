/** @file SHA-256 in a browser, whose own is asynchronous and takes no pieces. */

import { sha256 as create } from "@noble/hashes/sha2";
import { bytesToHex, utf8ToBytes } from "@noble/hashes/utils";
import type { Hash } from "./hash.js";

export function sha256(): Hash {
  const hash = create.create();
  const bytesOf = (value: Uint8Array | string) => (typeof value === "string" ? utf8ToBytes(value) : value);
  return { update: (bytes) => void hash.update(bytesOf(bytes)), hex: () => bytesToHex(hash.digest()) };
}
