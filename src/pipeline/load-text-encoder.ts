/** @file Opens a text encoder of a model, or the file or folder that replaces it, and the tokenizer that belongs to it. */

import { listed, ModelError } from "../errors.js";
import { kindOf, readJson, readText } from "../files/file-system.js";
import path from "../files/path.js";
import { clipConfig, clipName, clipText } from "../models/clip.js";
import { input } from "../tensor/operations.js";
import { type ClipTokenizer, loadTokenizer } from "../text/tokenizer.js";
import { resolveWeights } from "../weights/component.js";
import type { ModelSource, TokenizerSource } from "../weights/model-source.js";
import { renamed, type WeightSet } from "../weights/weight-set.js";
import { Component } from "./component.js";
import {
  type ComponentOptions,
  configLabel,
  expectComponent,
  label,
  openReplacement,
  weightsOf,
} from "./component-files.js";
import { clipPart, findClip, type TextEncoderName } from "./single-file/parts.js";
import type { TextNetwork } from "./text-encoding.js";

const classes = ["CLIPTextModel", "CLIPTextModelWithProjection"];

/** ModelError that names the file. */
export async function loadTextEncoder(
  source: ModelSource,
  name: TextEncoderName,
  options: ComponentOptions,
): Promise<TextNetwork> {
  const own = expectComponent(source, name, classes);
  const projected = own.className === "CLIPTextModelWithProjection";
  const given = name === "text_encoder" ? options.textEncoder : options.textEncoder2;
  const replaced = given === undefined ? undefined : await replacement(given, name);
  const { json, file } = replaced?.config ?? { json: await own.config(), file: configLabel(name, source) };
  const config = clipConfig(json, { projected, file });
  const ids = input("ids", [1, config.maxTokens], "int64");
  const weights =
    replaced?.weights ?? renamed(await weightsOf(own, options, (p) => clipText(p, config, ids)), clipName);
  const called = replaced ? path.basename(given!) : label(name, weights.files, source);
  return {
    component: new Component(name, called, weights, options.engine, { on: (device) => device }),
    config,
  };
}

/** The tokenizer of a text encoder, which of a single file may have to be downloaded. ModelError. */
export async function loadTokenizerOf(source: ModelSource, encoder: string): Promise<ClipTokenizer> {
  const name = encoder.replace("text_encoder", "tokenizer");
  expectComponent(source, name, ["CLIPTokenizer", "CLIPTokenizerFast"]);
  return readTokenizer(await source.tokenizer(name));
}

/** A folder with its config, or one file: of the encoder alone or of a whole model, in any naming. */
async function replacement(given: string, name: TextEncoderName) {
  const found = await openReplacement(given, name, classes);
  const all = await resolveWeights(found.location);
  if (found.kind === "folder") return { config: found.config, weights: renamed(all, clipName) };
  return { config: undefined, weights: encoderIn(given, name, all) };
}

function encoderIn(file: string, name: TextEncoderName, all: WeightSet): WeightSet {
  const clip = findClip(all, name, { alone: true });
  if (clip) return clipPart(all, clip);
  const rule = "must hold CLIP's text encoder (text_model.*, or open_clip's transformer.resblocks.*)";
  throw new ModelError(
    path.basename(file),
    `${rule}, got ${listed([...all.tensors.keys()], 3)}. Give another file.`,
  );
}

/** Reads the files of a tokenizer that are there; the tokenizer says which are missing. */
export async function readTokenizer({ path: directory, padToken }: TokenizerSource): Promise<ClipTokenizer> {
  const at = (name: string) => path.join(directory, name);
  const json = async (name: string) => ((await kindOf(at(name))) ? readJson(at(name)) : undefined);
  const [config, specialTokensMap, addedTokens, vocab] = [
    await json("tokenizer_config.json"),
    await json("special_tokens_map.json"),
    await json("added_tokens.json"),
    await json("vocab.json"),
  ];
  const words = vocab
    ? { vocab, merges: await readText(at("merges.txt")) }
    : { tokenizerJson: await readJson(at("tokenizer.json")) };
  const pad = padToken === undefined ? {} : { pad_token: padToken };
  return loadTokenizer({
    ...words,
    config: { ...config, ...pad },
    specialTokensMap: { ...specialTokensMap, ...pad },
    ...(addedTokens && { addedTokens }),
    folder: directory,
  });
}
