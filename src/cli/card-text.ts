/**
 * @file A model card as text: a YAML header and Markdown, of which `koala card` writes marked parts and leaves the rest as
 * people wrote it.
 */

import { parseDocument, stringify } from "yaml";
import { ModelError } from "../errors.js";
import { describe, isObject, type JsonObject } from "../files/json.js";

export type Card = {
  /** The fields between the lines of three dashes. */
  header: JsonObject;
  body: string;
};

/** Reads a card; one without a header has no fields. ModelError, about `file`, where the header is no YAML of fields. */
export function readCard(text: string, file: string): Card {
  const [whole = "", yaml = ""] =
    /^\uFEFF?---[ \t]*\r?\n(?:(.*?)\r?\n)?---[ \t]*(?:\r?\n|$)/s.exec(text) ?? [];
  const document = parseDocument(yaml);
  const [error] = document.errors;
  if (error) throw new ModelError(file, `its header must be YAML, got: ${error.message.split("\n")[0]}`);
  const header: unknown = document.toJS() ?? {};
  if (!isObject(header)) throw new ModelError(file, `its header must hold fields, got ${describe(header)}.`);
  return { header, body: text.slice(whole.length).trim() };
}

export const cardText = ({ header, body }: Card): string =>
  `---\n${stringify(header, { lineWidth: 0, flowCollectionPadding: false })}---\n\n${body.trim()}\n`;

/** A part of the body that `koala card` writes: the heading under which it begins, and its Markdown. */
export type Block = { name: string; heading: string; markdown: string };

/**
 * The body with a block in place of the one of that name; else at the end of the section with its heading, else in a
 * section of its own at the end. What is outside of a block's marks is nobody's but its author's.
 */
export function withBlock(body: string, { name, heading, markdown }: Block): string {
  const [begin, end] = [`<!-- koala card: ${name} -->`, `<!-- end of koala card: ${name} -->`];
  const marked = `${begin}\n\n${markdown.trim()}\n\n${end}`;
  const [first, last] = [body.indexOf(begin), body.indexOf(end)];
  if (first >= 0 && last > first) return body.slice(0, first) + marked + body.slice(last + end.length);
  const section = sectionNamed(body, heading);
  if (!section) return `${body.trim()}\n\n## ${heading}\n\n${marked}\n`;
  const [before, after] = [body.slice(0, section.end).trimEnd(), body.slice(section.end)];
  return `${before}\n\n${marked}\n${after && `\n${after}`}`;
}

/** Where the section of that heading ends; undefined where there is none. */
function sectionNamed(body: string, heading: string): { end: number } | undefined {
  // Lines of code may begin as headings do.
  const masked = body.replace(/^```[\s\S]*?^```/gm, (code) => code.replaceAll("#", " "));
  const headings = [...masked.matchAll(/^#{1,2} +(.+?) *$/gm)];
  const at = headings.findIndex(([, title]) => title!.toLowerCase() === heading.toLowerCase());
  return at < 0 ? undefined : { end: headings[at + 1]?.index ?? body.length };
}
