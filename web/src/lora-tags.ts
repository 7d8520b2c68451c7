/** @file The tags of LoRAs in a prompt, "<lora:NAME:0.8>": found with their places, changed, added and removed. */

export type LoraTag = { name: string; scale: number; start: number; end: number };

const tag = /<(?:lora|lyco):([^<>:]{1,200})(?::([^<>]{0,40}))?>/gi;

/** Those with one scale, or with none, which means 1; the server refuses others by name. */
export function loraTags(prompt: string): LoraTag[] {
  return [...prompt.matchAll(tag)].flatMap(({ index, 0: { length }, 1: name = "", 2: number = "1" }) => {
    const scale = number.trim() === "" ? Number.NaN : Number(number);
    return Number.isFinite(scale) ? [{ name: name.trim(), scale, start: index, end: index + length }] : [];
  });
}

export const withScale = (prompt: string, { name, start, end }: LoraTag, scale: number): string =>
  `${prompt.slice(0, start)}<lora:${name}:${scale}>${prompt.slice(end)}`;

export const withTag = (prompt: string, name: string, scale: number): string =>
  `${prompt}${/\S$/.test(prompt) ? " " : ""}<lora:${name}:${scale}>`;

/** Without the tag, and without a space that separated it. */
export function withoutTag(prompt: string, { start, end }: LoraTag): string {
  const [before, after] = [prompt.slice(0, start), prompt.slice(end)];
  if (after === "") return before.replace(/ $/, "");
  return /(^|\s)$/.test(before) ? before + after.replace(/^ /, "") : before + after;
}
