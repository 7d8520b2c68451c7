/** @file Opens training data: an image folder, WebDataset shards or parquet files, by the path. */

import { basename, dirname, join, sep } from "node:path";
import { InvalidRequest, listed } from "../../errors.js";
import { ifThere, kindOf, readdir } from "../../files/file-system.js";
import { byName, type DataFile, type DataOptions, type DataSource } from "./example.js";
import { openImageFolder } from "./image-folder.js";
import { isImageName } from "./image-names.js";

export type { DataOptions, DataSource, Example, SkippedExample } from "./example.js";

// Opened where they are read: each needs a library that other data does not.
const openWebDataset = async (files: readonly DataFile[], options: DataOptions) =>
  (await import("./webdataset.js")).openWebDataset(files, options);
const openParquet = async (files: readonly DataFile[], options: DataOptions) =>
  (await import("./parquet.js")).openParquet(files, options);

/**
 * Opens a folder of images, tar shards or parquet files, one such file, or a pattern in the last part of
 * the path ("train-{000..041}.tar", "data/*.parquet"). Throws InvalidRequest if it is none of these.
 */
export async function openData(path: string, options: DataOptions = {}): Promise<DataSource> {
  const kind = await kindOf(path);
  if (kind === "folder") return openFolder(path, options);
  const files = kind ? [{ name: basename(path), path }] : await matching(path);
  const tars = files.filter((file) => file.name.endsWith(".tar"));
  const parquets = files.filter((file) => file.name.endsWith(".parquet"));
  if (tars.length === files.length) return openWebDataset(tars, options);
  if (parquets.length === files.length) return openParquet(parquets, options);
  const got = listed(files.map((file) => file.name));
  throw new InvalidRequest("data", path, `must be a folder, .tar or .parquet files of one kind, got ${got}.`);
}

async function openFolder(folder: string, options: DataOptions): Promise<DataSource> {
  const files = await filesIn(folder);
  const tars = files.filter((file) => file.name.endsWith(".tar"));
  const parquets = files.filter((file) => file.name.endsWith(".parquet"));
  const images = files.filter((file) => isImageName(file.name));
  const kinds = { ".tar": tars.length, ".parquet": parquets.length, images: images.length };
  const present = Object.entries(kinds).filter(([, count]) => count > 0);
  if (present.length > 1) {
    const got = present.map(([kind, count]) => `${count} ${kind}`).join(", ");
    const remedy = "Give a pattern such as FOLDER/*.tar, or separate them.";
    throw new InvalidRequest(
      "data",
      folder,
      `must hold one kind of data, got ${got} in "${folder}". ${remedy}`,
    );
  }
  if (tars.length > 0) return openWebDataset(tars, options);
  if (parquets.length > 0) return openParquet(parquets, options);
  return openImageFolder(folder, files, options);
}

/** All files below a folder except hidden ones, named relative to it with "/" on every system. */
async function filesIn(folder: string): Promise<DataFile[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries
    .filter((entry) => !entry.isDirectory())
    .map((entry) => join(entry.parentPath, entry.name))
    .map((path) => ({ name: path.slice(join(folder, sep).length).split(sep).join("/"), path }));
  return files.filter(({ name }) => !/(^|\/)\./.test(name)).sort((a, b) => byName(a.name, b.name));
}

async function matching(path: string): Promise<DataFile[]> {
  const folder = dirname(path);
  const present = ((await ifThere(() => readdir(folder))) ?? []).sort(byName);
  const patterns = braces(basename(path));
  const found = patterns.map((pattern) => present.filter((name) => wildcard(pattern).test(name)));
  const missing = patterns.filter((_, i) => found[i]!.length === 0);
  if (missing.length > 0) {
    const rule = `"${folder}" must hold a file for every pattern, got none for ${listed(missing)}.`;
    throw new InvalidRequest("data", path, `${rule} Give a folder, a .tar or .parquet file, or a pattern.`);
  }
  return [...new Set(found.flat())].map((name) => ({ name, path: join(folder, name) }));
}

/** Writes out "{a,b}" and "{000..012}" (the zeros are kept), as shells do. */
function braces(pattern: string): string[] {
  const parts = /^(.*?)\{([^{}]*)\}(.*)$/.exec(pattern);
  if (!parts) return [pattern];
  const [, before, inside, after] = parts as unknown as [string, string, string, string];
  const range = /^(\d+)\.\.(\d+)$/.exec(inside);
  const words = range ? numbers(range[1]!, range[2]!) : inside.split(",");
  return words.flatMap((word) => braces(`${before}${word}${after}`));
}

function numbers(first: string, last: string): string[] {
  const count = Math.max(0, Number(last) - Number(first) + 1);
  return Array.from({ length: count }, (_, i) => String(Number(first) + i).padStart(first.length, "0"));
}

function wildcard(pattern: string): RegExp {
  const source = pattern
    .replace(/[.+^$()|[\]\\]/g, "\\$&")
    .replaceAll("*", ".*")
    .replaceAll("?", ".");
  return new RegExp(`^${source}$`);
}
