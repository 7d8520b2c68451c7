/** @file The shards that an index in a repository's folder names. */

import { readJson } from "../files/file-system.js";
import path from "../files/path.js";
import { shardIndex } from "../weights/index-file.js";

/** By path in the folder, as `index` is. ModelError for an index that is broken. */
export async function shardsOf(folder: string, index: string): Promise<string[]> {
  const file = path.join(folder, index);
  const shards = new Set(shardIndex(await readJson(file), file).values());
  return [...shards].map((shard) => path.posix.join(path.posix.dirname(index), shard));
}
