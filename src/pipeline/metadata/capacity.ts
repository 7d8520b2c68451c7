/** @file Whether a file format has room for an image's metadata, before the image is generated. */

import { roomProblem } from "../../image/metadata/metadata.js";
import { formatParameters } from "../../image/metadata/parameters.js";
import { metadataText } from "./schema.js";

/** The fields of the metadata whose length users decide. */
export type RecordedPrompts = {
  prompt: string;
  prompt2?: string | undefined;
  negativePrompt?: string | undefined;
  negativePrompt2?: string | undefined;
};

/**
 * Kept for the other fields: the model, its LoRAs and the scheduler are known only when the model is open, and take
 * about 1 kB of the JSON and 300 characters of A1111's text.
 */
const rest = { parameters: 2048, record: 4096 };

/** Why a file of the format cannot hold the metadata of such an image, as a rule without its field; or undefined. */
export function metadataProblem(
  format: "png" | "jpeg" | "webp",
  prompts: RecordedPrompts,
): string | undefined {
  const { prompt, prompt2, negativePrompt, negativePrompt2 } = prompts;
  const parameters = formatParameters({ prompt, negativePrompt, fields: new Map() });
  const record = metadataText({ prompt, prompt2, negativePrompt, negativePrompt2 });
  const texts = {
    parameters: parameters.padEnd(parameters.length + rest.parameters),
    record: record.padEnd(record.length + rest.record),
  };
  return roomProblem(format, texts, { estimated: true });
}
