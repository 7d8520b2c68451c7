/** @file Settings that a program wrote into an image, under A1111's names. */

import type { Parameters } from "../parameters.js";

export type FoundSettings = {
  program: string;
  /** What could be read; settings that A1111 has no name for are among `fields` under the program's own. */
  parameters: Parameters;
  /** Why there is no prompt, where none could be read. */
  problem?: string;
};
