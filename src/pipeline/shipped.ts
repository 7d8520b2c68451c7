/** @file The model that ships inside the package, painted with where no other is named. */

import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { InvalidRequest } from "../errors.js";

const folder = fileURLToPath(new URL("../../models/nano", import.meta.url));

/** Its folder; undefined in a copy of the package without it. */
export const shippedModel = (): string | undefined => (existsSync(folder) ? folder : undefined);

/** A golden model with random weights, which a checkout has and the package has not. */
const test = fileURLToPath(new URL("../../golden/data/pipelines/koala-1b-tiny", import.meta.url));
export const testModel = (): string | undefined => (existsSync(test) ? test : undefined);

/** `model`, or the shipped one; InvalidRequest, about `field`, where there is neither. */
export function modelOrShipped(model: string | undefined, field = "--model"): string {
  const found = model ?? shippedModel();
  if (found !== undefined) return found;
  const rule = `must be given, got none, and this copy of the package lacks its own model (${folder}).`;
  throw new InvalidRequest(field, undefined, `${rule} Name a diffusers folder or a Hub id.`);
}
