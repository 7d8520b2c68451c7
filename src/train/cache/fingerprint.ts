/** @file Fingerprints of the networks that made a cache: hashes of their configs and weights, which can be compared. */

import type { Components } from "../../pipeline/components.js";
import { hashOf, hashPrefix, textFingerprint, weightFingerprint } from "../../weights/fingerprint.js";

/** Texts by name; those that begin with `hashMark` are hashes. */
export type Fingerprint = Readonly<Record<string, string>>;

/** Identifies the autoencoder, the text encoders and their tokenizers without reading all of their weights. */
export async function networkFingerprint({
  folder,
  vae,
  textEncoders,
}: Components): Promise<Record<string, string>> {
  const found: Record<string, string> = { pipeline: folder.className };
  found.vae = hashOf([vae.config, await weightFingerprint(vae.component.weights)]);
  for (const { component, config } of textEncoders) {
    found[component.name] = hashOf([config, await weightFingerprint(component.weights)]);
    const tokenizer = component.name.replace("text_encoder", "tokenizer");
    found[tokenizer] = hashOf(await textFingerprint(folder.component(tokenizer).path));
  }
  return found;
}

/** What differs, for a sentence: `resolution 512 (now 1024)`, `another vae`. */
export function differences(there: Fingerprint, now: Fingerprint): string[] {
  const names = [...new Set([...Object.keys(there), ...Object.keys(now)])];
  return names
    .filter((name) => there[name] !== now[name])
    .map((name) => {
      const [was, is] = [there[name] ?? "none", now[name] ?? "none"];
      return was.startsWith(hashPrefix) && is.startsWith(hashPrefix)
        ? `another ${name}`
        : `${name} ${was} (now ${is})`;
    });
}
