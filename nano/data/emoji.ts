/**
 * @file The nine sets of emoji and the concepts they draw, read from npm packages of `nano/package.json`: which drawing
 * of which set belongs to which code points, and what people call it. Renders nothing.
 */

import { existsSync, readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

/** The sets, in the order in which the images are numbered. */
export const styles = [
  "noto",
  "noto-v1",
  "twemoji",
  "fluent-emoji",
  "fluent-emoji-flat",
  "fluent-emoji-3d",
  "emojione",
  "fxemoji",
  "streamline",
] as const;
export type Style = (typeof styles)[number];

/** What a set holds for a concept: an SVG document, or a image file. */
export type Drawing = { svg: string } | { file: string };

export type Concept = {
  /** Code points in lower-case hex, joined by hyphens, without variation selectors. */
  code: string;
  /** Place in Unicode's order of emoji. */
  order: number;
  label: string;
  group: string;
  subgroup: string;
  /** Other names, from shortcodes; most common first. */
  aliases: readonly string[];
  drawings: ReadonlyMap<Style, Drawing>;
};

type Entry = { hexcode: string; label: string; group?: number; subgroup?: number; order?: number };
type Names = readonly { order: number; message: string }[];
type Icons = {
  icons: Record<string, { body: string; width?: number; height?: number; left?: number; top?: number }>;
  width?: number;
  height?: number;
};

const packages = fileURLToPath(new URL("../node_modules/", import.meta.url));
const json = <T>(...at: string[]): T => {
  const file = path.join(packages, ...at);
  if (!existsSync(file))
    throw new Error(`${file} is not there: run npm ci in nano/ first, as npm run nano does.`);
  return JSON.parse(readFileSync(file, "utf8")) as T;
};

const codeOf = (hexcode: string) => hexcode.toLowerCase().replaceAll("-fe0f", "");
const slug = (name: string) =>
  name
    .toLowerCase()
    .normalize("NFD")
    .replace(/[^a-z0-9]+/g, "-")
    .replace(/^-|-$/g, "");

/** Where Iconify keeps a set; Fluent's 3D images are a package of their own. */
const iconify: Partial<Record<Style, string>> = {
  noto: "noto",
  "noto-v1": "noto-v1",
  twemoji: "twemoji",
  "fluent-emoji": "fluent-emoji",
  "fluent-emoji-flat": "fluent-emoji-flat",
  emojione: "emojione",
  fxemoji: "fxemoji",
  streamline: "streamline-emojis",
};
const images3d = path.join(packages, "@lobehub", "fluent-emoji-3d", "assets");

const shortcodeSets = ["cldr", "emojibase", "github", "iamcal", "joypixels"];

/** Every concept that has a drawing, in Unicode's order. */
export function readConcepts(): Concept[] {
  const entries = json<Entry[]>("emojibase-data", "en", "data.json").filter((e) => e.group !== undefined);
  const messages = json<{ groups: Names; subgroups: Names }>("emojibase-data", "en", "messages.json");
  const message = (names: Names, order: number | undefined) =>
    names.find((name) => name.order === order)?.message ?? "";
  const byCode = new Map(entries.map((entry) => [codeOf(entry.hexcode), entry]));
  const shortcodes = readShortcodes(byCode);
  const drawings = new Map<string, Map<Style, Drawing>>();
  for (const style of styles)
    for (const [code, drawing] of readSet(style, byCode, shortcodes)) {
      const found = drawings.get(code) ?? new Map<Style, Drawing>();
      drawings.set(code, found.set(style, drawing));
    }
  const concepts = [...byCode].map(([code, e]) => ({
    code,
    order: e.order ?? Number.MAX_SAFE_INTEGER,
    label: e.label.toLowerCase().replaceAll("’", "'"),
    group: message(messages.groups, e.group),
    subgroup: message(messages.subgroups, e.subgroup),
    aliases: shortcodes.get(code) ?? [],
    drawings: drawings.get(code) ?? new Map<Style, Drawing>(),
  }));
  return concepts.filter((c) => c.drawings.size > 0).sort((a, b) => a.order - b.order);
}

/** Shortcodes by concept as words, without repetitions. */
function readShortcodes(known: ReadonlyMap<string, Entry>): Map<string, string[]> {
  const found = new Map<string, string[]>();
  for (const set of shortcodeSets) {
    const codes = json<Record<string, string | string[]>>(
      "emojibase-data",
      "en",
      "shortcodes",
      `${set}.json`,
    );
    for (const [hexcode, names] of Object.entries(codes)) {
      const code = codeOf(hexcode);
      if (!known.has(code)) continue;
      const words = [names].flat().map((name) => name.toLowerCase().replace(/[_-]+/g, " ").trim());
      found.set(code, [...new Set([...(found.get(code) ?? []), ...words])]);
    }
  }
  return found;
}

/** The sets name their drawings by label or shortcode, and list only some of them by code point. */
function* readSet(
  style: Style,
  known: ReadonlyMap<string, Entry>,
  shortcodes: ReadonlyMap<string, readonly string[]>,
): Generator<[string, Drawing]> {
  const set = iconify[style];
  if (set === undefined) {
    for (const name of readdirSync(images3d).sort()) {
      const code = codeOf(path.basename(name, ".webp"));
      if (known.has(code)) yield [code, { file: path.join(images3d, name) }];
    }
    return;
  }
  const icons = json<Icons>("@iconify-json", set, "icons.json");
  const byName = nameTable(known, shortcodes);
  const listed = new Map(charsOf(set, known));
  const seen = new Set<string>();
  for (const [name, icon] of Object.entries(icons.icons)) {
    const bare = name.replace(/-\d$/, "");
    const code =
      listed.get(name) ?? byName.get(name) ?? byName.get(bare) ?? byName.get(name.replaceAll("-", ""));
    if (code === undefined || seen.has(code)) continue;
    seen.add(code);
    const [width, height] = [icon.width ?? icons.width ?? 16, icon.height ?? icons.height ?? 16];
    const box = `${icon.left ?? 0} ${icon.top ?? 0} ${width} ${height}`;
    const names = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"';
    yield [
      code,
      { svg: `<svg ${names} width="${width}" height="${height}" viewBox="${box}">${icon.body}</svg>` },
    ];
  }
}

/** Names of one set's drawings by code point. */
const charsOf = (set: string, known: ReadonlyMap<string, Entry>) =>
  Object.entries(json<Record<string, string>>("@iconify-json", set, "chars.json"))
    .map(([hexcode, name]) => [name, codeOf(hexcode)] as const)
    .filter(([, code]) => known.has(code));

/** Every name a set may use: labels first, then shortcodes, then what other sets call it; also without separators. */
function nameTable(
  known: ReadonlyMap<string, Entry>,
  shortcodes: ReadonlyMap<string, readonly string[]>,
): Map<string, string> {
  const table = new Map<string, string>();
  const offer = (name: string, code: string) => {
    for (const key of [name, name.replaceAll("-", "")]) if (!table.has(key)) table.set(key, code);
  };
  for (const [code, { label }] of known) offer(slug(label), code);
  for (const [code, names] of shortcodes) for (const name of names) offer(slug(name), code);
  for (const set of ["noto", "twemoji", "fluent-emoji-flat"])
    for (const [name, code] of charsOf(set, known)) offer(name, code);
  return table;
}
