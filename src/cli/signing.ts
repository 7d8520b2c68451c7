/** @file The options of commands that sign images with content credentials. */

import type { Command } from "commander";
import { InvalidRequest } from "../errors.js";
import { formatOf } from "../image/codec.js";
import { openSigner, type SigningFiles } from "../image/content-credentials.js";
import { unsignable } from "../image/unsignable.js";
import type { SaveOptions } from "../pipeline/generated-image.js";

export type SigningFlags = { sign?: string; key?: string };

/** Adds the options to a command. */
export const withSigningOptions = (command: Command): Command =>
  command
    .option(
      "--sign <certificate>",
      "sign with content credentials (C2PA): PEM, with its issuers; PNG and JPEG",
    )
    .option("--key <file>", "the private key of --sign, in PEM");

/** Both files, or none; InvalidRequest for one without the other. */
export function signingFiles({ sign, key }: SigningFlags): SigningFiles | undefined {
  if (sign === undefined && key === undefined) return undefined;
  if (sign !== undefined && key !== undefined) return { certificate: sign, key };
  const [lacking, given] = sign === undefined ? ["--sign", "--key"] : ["--key", "--sign"];
  throw new InvalidRequest(lacking!, undefined, `must be given with ${given}, got none. Add it.`);
}

/** What `save` takes for `--sign`; refuses, before anything is generated, files and options that cannot be signed. */
export async function openedSigner(
  { metadata, ...flags }: SigningFlags & { metadata: boolean },
  file: string,
): Promise<Pick<SaveOptions, "signer">> {
  const files = signingFiles(flags);
  if (!files) return {};
  if (formatOf(file) === "webp") throw new InvalidRequest("--sign", file, unsignable);
  if (!metadata) {
    const rule = "must be of images with their metadata, got --no-metadata. Leave one of the two out.";
    throw new InvalidRequest("--sign", files.certificate, rule);
  }
  return { signer: await openSigner(files) };
}
