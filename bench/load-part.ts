/** @file Loads one part of a model alone, as its pipeline does when the part's turn comes. */

import type { Session } from "../src/engine/engine.js";
import type { Components } from "../src/pipeline/components.js";
import { decoderTrace, encoderTrace } from "../src/pipeline/run-autoencoder.js";
import { states, type TextNetwork } from "../src/pipeline/text-encoding.js";

/** The text encoder of that name; throws where there is none. */
export function textEncoderNamed({ textEncoders }: Components, name: string): TextNetwork {
  const found = textEncoders.find(({ component }) => component.name === name);
  if (!found) throw new Error(`${name} is no part of this model`);
  return found;
}

/** "unet", "vae" (its decoder), "vae encoder" or a text encoder's name. */
export function loadPart(components: Components, name: string): Promise<Session> {
  const { unet, vae } = components;
  if (name === "unet") return unet.component.session("unet", unet.trace);
  if (name === "vae") return vae.component.session("decode", decoderTrace(vae));
  if (name === "vae encoder") return vae.component.session("encode", encoderTrace(vae));
  const { component, config } = textEncoderNamed(components, name);
  return component.session("text", (p) => states(p, config, { rule: "penultimate" }));
}
