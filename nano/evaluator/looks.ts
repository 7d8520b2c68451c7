/** @file Which of the styles look alike. */

import { styles } from "../data/emoji.js";

/**
 * The style that a style's images look like. Fluent's glossy and 3D sets are the same artwork, exported as vectors and
 * as pixels: an evaluator that is trained to tell them apart takes more than a third of their 416 held-out renderings each
 * for the other. They count as one look.
 */
export const lookOf = (style: number): number =>
  styles[style] === "fluent-emoji-3d" ? styles.indexOf("fluent-emoji") : style;
