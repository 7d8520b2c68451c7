/** @file The report of a probe, as Markdown. */

import { describe, expect, it } from "vitest";
import { countedSections, type ProbeReport } from "./probe-report.js";

const share = (mean: number) => ({ model: { mean } });
const row = (word: string | undefined, asAsked: number) => ({
  ...{ template: "a {noun}", question: "noun", prompts: [0] },
  ...(word !== undefined && { place: "noun", word }),
  asAsked: share(asAsked),
  labels: [{ label: "cat", ...share(100 - asAsked) }],
});
const side = { label: "nano", settings: {}, device: "cpu", dtype: "float32" };
const report: ProbeReport = {
  ...{ format: 1, app: "", file: "", seeds: [], questions: {}, groups: [], images: [], warnings: [] },
  model: { ...side, model: { name: "nano", pipeline: "", fingerprint: "" } },
  rows: [row(undefined, 70), row("dog", 90), row("cow", 40), row("ant", 80)],
};

describe("the tables of a probe", () => {
  it("keep the words that are least as asked, in their order, and count those that are left out", () => {
    const [{ markdown } = { markdown: "" }] = countedSections(report, 2);
    const words = markdown.split("\n").flatMap((line) => /^\| (all|noun: \w+)/.exec(line)?.[1] ?? []);
    expect(words).toEqual(["all", "noun: cow", "noun: ant"]);
    expect(markdown).toContain("1 more word is in report.json.");
    expect(countedSections(report)[0]!.markdown).not.toContain("more word");
  });
});
