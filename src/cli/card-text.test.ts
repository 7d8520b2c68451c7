/** @file The text of a model card: its header, and the parts between marks that the command writes anew. */

import { describe, expect, it } from "vitest";
import { cardText, readCard, withBlock } from "./card-text.js";

const written = `---
license: mit
tags: [a, b]
---

# Title

## Use

\`\`\`sh
## Evaluation
\`\`\`

## Evaluation

By hand.

## Last
`;
const block = (markdown: string) => ({ name: "evaluation", heading: "Evaluation", markdown });

describe("a card's text", () => {
  it("is a header of fields and a body, either of which may be absent", () => {
    const { header, body } = readCard(written, "README.md");
    expect(header).toEqual({ license: "mit", tags: ["a", "b"] });
    expect(body.startsWith("# Title\n")).toBe(true);
    expect(readCard("# Title\n\n---\n", "README.md")).toEqual({ header: {}, body: "# Title\n\n---" });
    expect(readCard("", "README.md")).toEqual({ header: {}, body: "" });
    expect(readCard("---\nlicense: mit\n---", "README.md")).toEqual({ header: { license: "mit" }, body: "" });
    expect(readCard(cardText({ header, body }), "README.md")).toEqual({ header, body });
  });

  it("is refused where its header is no YAML, or holds no fields", () => {
    expect(() => readCard("---\na: [\n---\n", "README.md")).toThrow(/^README.md: its header must be YAML/);
    expect(() => readCard("---\n- a\n---\n", "README.md")).toThrow("must hold fields, got a list of 1.");
  });
});

describe("a block that koala card writes", () => {
  const { body } = readCard(written, "README.md");

  it("goes to the end of its section, of which code shows no heading, and leaves what people wrote", () => {
    const once = withBlock(body, block("| one |"));
    expect(once.replace(/<!--.*-->\n\n/s, "")).toBe(body);
    expect(once).toMatch(/By hand\.\n\n<!-- koala card: evaluation -->\n\n\| one \|.*\n\n## Last$/s);
  });

  it("is replaced where it is, as often as it is written", () => {
    const moved = `${withBlock("", block("| one |"))}\n## Mine\n`;
    expect(withBlock(moved, block("| two |"))).toBe(moved.replace("| one |", "| two |"));
  });

  it("has a section of its own where there is none", () => {
    expect(withBlock("# Title", block("| one |"))).toMatch(/^# Title\n\n## Evaluation\n\n<!-- koala card/);
  });
});
