/** @file SVG elements as data: written as text for a file, rendered by Preact on the page. */

export type SvgElement = {
  tag: string;
  attributes: Readonly<Record<string, string | number>>;
  children: readonly (SvgElement | string)[];
};

export function element(
  tag: string,
  attributes: SvgElement["attributes"] = {},
  ...children: SvgElement["children"]
): SvgElement {
  return { tag, attributes, children };
}

export function svgText({ tag, attributes, children }: SvgElement): string {
  const pairs = Object.entries(attributes).map(([name, value]) => ` ${name}="${escaped(String(value))}"`);
  const start = `<${tag}${pairs.join("")}`;
  if (children.length === 0) return `${start}/>`;
  const inside = children.map((child) => (typeof child === "string" ? escaped(child) : svgText(child)));
  return `${start}>${inside.join("")}</${tag}>`;
}

const entities: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

/** XML allows no control characters, escaped or not. Newlines stay, as in style sheets. */
const escaped = (text: string): string =>
  text.replace(/(?!\n)[\p{Cc}\uFFFE\uFFFF]/gu, " ").replace(/[&<>"']/g, (c) => entities[c]!);
