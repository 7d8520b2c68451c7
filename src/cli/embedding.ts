/** @file `--embedding [NAME=]FILE`, which may be given several times; FILE may be a name on the Hub. */

import type { Embedding } from "../pipeline/embeddings.js";

/**
 * Adds one value of the option. A path that holds "=" is distinguished from a name by a separator before it, as in
 * "./a=b.safetensors".
 */
export function embeddingOption(value: string, before: readonly Embedding[] = []): Embedding[] {
  const [, token, file] = /^([^=/\\]+)=(.+)$/.exec(value) ?? [];
  if (token === undefined || file === undefined) return [...before, { file: value }];
  return [...before, { token, file }];
}
