/** @file A browser signs no images: a private key does not belong into a page. */

import { InvalidRequest } from "../errors.js";
import type { ContentSigner, SigningFiles } from "./content-credentials.js";

/** InvalidRequest. */
export async function openSigner({ certificate }: SigningFiles): Promise<ContentSigner> {
  const rule = `must be left out in a browser, which signs no images, got ${certificate}`;
  throw new InvalidRequest("certificate", certificate, `${rule}. Sign with koala generate or koala serve.`);
}
