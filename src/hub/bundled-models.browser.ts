/** @file In a browser no model is bundled: the page says where its models are. */

import { InvalidRequest } from "../errors.js";

export const bundledFolder = (_name: string): string | undefined => undefined;

/** `model`; InvalidRequest, about `field`, where there is none. */
export function modelOrBundled(model: string | undefined, field = "model"): string {
  if (model !== undefined) return model;
  const rule = "must be given in a browser, got none. Name a model of the Hub or the URL of a folder.";
  throw new InvalidRequest(field, model, rule);
}
