/** @file AUTOMATIC1111's `png-info`: the settings inside an image, of any known program. */

import { readFileTexts } from "../../image/metadata/metadata.js";
import { formatParameters, parseParameters } from "../../image/metadata/parameters.js";
import { settingsIn } from "../../image/metadata/programs/programs.js";
import { sourceFromText } from "../../jobs/sent-images.js";

export async function pngInfo(image: string) {
  const { bytes } = await sourceFromText("image", image);
  const texts = await readFileTexts(bytes);
  const found = settingsIn(texts)?.parameters;
  const info = texts.get("parameters") ?? (found ? formatParameters(found) : "");
  if (info === "") return { info, items: {}, parameters: {} };
  const { prompt, negativePrompt = "", fields } = found ?? parseParameters(info);
  const parameters = { Prompt: prompt, "Negative prompt": negativePrompt, ...Object.fromEntries(fields) };
  return { info, items: { parameters: info }, parameters };
}
