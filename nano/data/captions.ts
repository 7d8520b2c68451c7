/**
 * @file The language of the small model: how a noun, a drawing style and a background are put into words. Every word
 * that a caption may hold comes from here or from a noun's names.
 */

import { withArticle } from "../../src/pipeline/vocabulary.js";
import { below } from "../../src/train/data/seeded.js";
import type { Style } from "./emoji.js";
import type { Noun } from "./nouns.js";

/** What each style is called in captions, the usual name first. */
export const styleNames: Readonly<Record<Style, readonly string[]>> = {
  noto: ["soft icon", "noto"],
  "noto-v1": ["blob icon", "blob"],
  twemoji: ["flat icon", "twemoji"],
  "fluent-emoji": ["glossy icon", "glossy"],
  "fluent-emoji-flat": ["flat fluent icon", "flat fluent"],
  "fluent-emoji-3d": ["3d render", "3d"],
  emojione: ["classic icon", "emojione"],
  fxemoji: ["bold icon", "fxemoji"],
  streamline: ["line art", "outline"],
};

/** Background colours by name: RGB. White is what a caption means that names none. */
export const backgrounds = {
  white: [255, 255, 255],
  black: [24, 24, 27],
  gray: [156, 163, 175],
  red: [220, 60, 60],
  orange: [245, 150, 60],
  yellow: [250, 220, 90],
  green: [80, 180, 100],
  blue: [80, 140, 230],
  purple: [150, 100, 210],
  pink: [245, 160, 200],
} as const satisfies Record<string, readonly [number, number, number]>;
export type Background = keyof typeof backgrounds;
export const backgroundNames = Object.keys(backgrounds) as Background[];

/** A number from 0 to 1, not included. */
export type Draw = () => number;

const pick = <T>(from: readonly T[], draw: Draw): T => from[below(from.length, draw)]!;

/** One way of saying it. The background is named always where it is not white, and sometimes where it is. */
export function caption(noun: Noun, style: Style, background: Background, draw: Draw): string {
  const name = draw() < 0.75 || noun.aliases.length === 0 ? noun.name : pick(noun.aliases, draw);
  const thing = draw() < 0.6 ? withArticle(name) : name;
  const manner = draw() < 0.75 ? styleNames[style][0]! : pick(styleNames[style], draw);
  const named = background !== "white" || draw() < 0.25;
  const behind = !named ? "" : draw() < 0.7 ? `on a ${background} background` : `${background} background`;
  const styled = draw() < 0.95;
  const parts = draw() < 0.85 ? [thing, styled ? manner : "", behind] : [styled ? manner : "", thing, behind];
  return parts.filter((part) => part !== "").join(", ");
}

/** The usual way of saying it, on white. */
export const worded = (noun: string, style: Style): string => `${withArticle(noun)}, ${styleNames[style][0]}`;
