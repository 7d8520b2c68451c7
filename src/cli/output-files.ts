/**
 * @file The output files of a command: checked before anything is generated, never overwriting a file that was not
 * named, and in the temporary folder if the output can no longer be written.
 */

import { tmpdir } from "node:os";
import path from "node:path";
import { seedAfter } from "../diffusion/seed.js";
import { FileError, InvalidRequest } from "../errors.js";
import { fileErrorAt } from "../files/file-errors.js";
import { kindOf, makeFolder, mkdtemp, rmdir, writeWhole } from "../files/file-system.js";
import { checkWritable, writeNew } from "../files/writable.js";
import { formatOf } from "../image/codec.js";
import type { GeneratedImage, SaveOptions } from "../pipeline/generated-image.js";
import { againName } from "./from-image.js";

/** A file to be written; where `numbered`, the next free name is taken in place of one that is there. */
type OutputFile = { file: string; numbered: boolean; bytes: () => Promise<Uint8Array> };

/** The files in order, and why some of them were written elsewhere. */
type Written = { files: string[]; failure: FileError | undefined };

export type Output = {
  /** The name of an image by its number in the command and its seed, where it is not taken. */
  file(index: number, seed: bigint): string;
  /** Writes the images of one run, of which the first has this number and seed. */
  save(
    images: readonly GeneratedImage[],
    first: { index: number; seed: bigint } & Pick<SaveOptions, "metadata" | "signer">,
  ): Promise<Written>;
};

/** Decides what `--output` means and checks that all `count` images can be written there. InvalidRequest, FileError. */
export async function openOutput(
  { output, from }: { output?: string; from?: string },
  count: number,
): Promise<Output> {
  const { names, numbered } = await namesOf(output, from, count);
  await checkFiles(typeof names === "function" ? [names(0n)] : names);
  const fileOf = (index: number, seed: bigint) => (typeof names === "function" ? names(seed) : names[index]!);
  return {
    file: fileOf,
    save: async (images, { index, seed, ...options }) =>
      writeOutputs(
        images.map((image, i) => {
          const file = fileOf(index + i, seedAfter(seed, i));
          return { file, numbered, bytes: () => image.encode(formatOf(file), options) };
        }),
      ),
  };
}

/** Names by seed, which are ours to choose and therefore numbered where they are taken, or those that were given. */
async function namesOf(
  output: string | undefined,
  from: string | undefined,
  count: number,
): Promise<{ names: readonly string[] | ((seed: bigint) => string); numbered: boolean }> {
  const numbered = output === undefined;
  const given = output ?? (from === undefined ? undefined : againName(from));
  const folder = given === undefined ? "" : (await isFolder(given)) ? given : undefined;
  if (folder !== undefined)
    return { names: (seed) => path.join(folder, `koala-${seed}.png`), numbered: true };
  formatOf(given!, { field: "--output", remedy: "Change its ending, or end it in / for a folder." });
  const { dir, name, ext } = path.parse(given!);
  const names = Array.from({ length: count }, (_, i) =>
    count === 1 ? given! : path.join(dir, `${name}-${i + 1}${ext}`),
  );
  if (from !== undefined && names.some((file) => path.resolve(file) === path.resolve(from))) {
    const rule = `must be another file than that of --from, got ${given}. Name another.`;
    throw new InvalidRequest("--output", given, rule);
  }
  return { names, numbered };
}

/** A folder that is there, or one that will be made: a name that ends in a slash or has no ending. */
async function isFolder(output: string): Promise<boolean> {
  if (output.endsWith("/") || output.endsWith(path.sep)) return true;
  const kind = await kindAt(output);
  return kind === "folder" || (kind === undefined && path.extname(output) === "");
}

/** Checks, before there is anything to write, that files can be written; FileError. */
export async function checkFiles(files: readonly string[]): Promise<void> {
  for (const folder of new Set(files.map((file) => path.dirname(file)))) await checkWritable(folder);
  for (const file of files)
    if ((await kindAt(file)) === "folder")
      throw new FileError(file, "EISDIR", "must be a file, got a folder. Choose another name.");
}

async function kindAt(file: string) {
  try {
    return await kindOf(file);
  } catch (error) {
    throw fileErrorAt(error, "write", file);
  }
}

/** Writes files, those that cannot be written where they belong into one new folder of the temporary ones. */
export async function writeOutputs(outputs: readonly OutputFile[]): Promise<Written> {
  const files: string[] = [];
  const kept: string[] = [];
  let failure: FileError | undefined;
  let spare: string | undefined;
  for (const { file, numbered, bytes } of outputs) {
    const content = await bytes();
    try {
      files.push(await write(file, numbered, content));
    } catch (error) {
      if (!(error instanceof FileError)) throw error;
      failure ??= error;
      spare ??= await orBoth(failure, mkdtemp(path.join(tmpdir(), "koala-")));
      kept.push(await orBoth(failure, writeSpare(path.join(spare, path.basename(file)), content)));
      files.push(kept.at(-1)!);
    }
  }
  return { files, failure: failure?.saying(`What was generated is in ${kept.join(", ")}.`) };
}

async function write(file: string, numbered: boolean, content: Uint8Array): Promise<string> {
  if (numbered) {
    await makeFolder(path.dirname(file));
    return writeNew(file, content);
  }
  await writeWhole(file, content);
  return file;
}

async function writeSpare(file: string, content: Uint8Array): Promise<string> {
  try {
    return await writeNew(file, content);
  } catch (error) {
    await rmdir(path.dirname(file)).catch(() => undefined); // stays where it holds others
    throw error;
  }
}

/** If the temporary folder cannot be written either, the error has both failures. */
async function orBoth<T>(failure: FileError, keeping: Promise<T>): Promise<T> {
  try {
    return await keeping;
  } catch (error) {
    throw error instanceof FileError
      ? failure.saying(`It could not be kept elsewhere: ${error.message}`)
      : error;
  }
}
