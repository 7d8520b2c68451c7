/** @file `koala probe` through the built command: its counts and mean images from the images that it wrote, and its reports. */

import { execFile } from "node:child_process";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import sharp from "sharp";
import { afterAll, describe, expect, it } from "vitest";
import type { ProbeReport } from "../src/cli/probe-report.js";

const folder = await mkdtemp(path.join(tmpdir(), "koala-probe-"));
afterAll(() => rm(folder, { recursive: true }));
const at = (name: string) => path.join(folder, name);
const koala = (...args: string[]) =>
  promisify(execFile)(process.execPath, [path.resolve("dist/cli/main.js"), "probe", ...args]);

await writeFile(
  at("probe.yaml"),
  `templates: ["a {noun}, {style}", "a {noun} <and> a {noun}"]
slots: { noun: [red apple, koala], style: [flat icon, line art] }
questions:
  order: { labels: { kept: "a {noun} and a {noun}", swapped: "a {noun 2} and a {noun 1}" }, expected: kept }
seeds: 2
`,
);
const pixels = (...file: string[]) =>
  sharp(path.join(at("out"), ...file))
    .removeAlpha()
    .raw()
    .toBuffer();

describe("a probe of a model beside itself with fewer steps", () => {
  it("counts what it saw, averages its images, and writes reports that stand alone", async () => {
    const clip = ["--clip", "golden/data/clip/gelu-tiny"];
    const models = ["-r", "models/nano", "--steps", "2", "--reference-steps", "1"];
    const { stdout, stderr } = await koala(at("probe.yaml"), ...models, ...clip, "-o", at("out"));
    expect(stdout.trim()).toBe(path.join(at("out"), "report.html"));
    expect(stderr).toContain("of 2 an interval says little");
    const report = JSON.parse(await readFile(path.join(at("out"), "report.json"), "utf8")) as ProbeReport;
    expect(report.images.map(({ prompt }) => prompt)).toEqual([
      ...["a red apple, flat icon", "a red apple, line art", "a koala, flat icon", "a koala, line art"],
      ...["a red apple <and> a koala", "a koala <and> a red apple"],
    ]);

    const noun = "noun, by the evaluator";
    const whole = report.rows.find(({ question, place }) => question === noun && place === undefined)!;
    const right = report.images
      .slice(0, 4)
      .flatMap(({ prompt, answers }) => answers[noun]!.seen.map((seen) => (prompt.includes(seen) ? 100 : 0)));
    expect(whole.asAsked!.model.mean).toBeCloseTo(right.reduce<number>((sum, x) => sum + x, 0) / 8, 9);
    // Of two nouns in a prompt the evaluator, which sees one, is asked for none.
    expect(report.images[4]!.answers[noun]).not.toHaveProperty("expected");
    // Only the second template has the places of this question.
    const order = report.rows.filter(({ question }) => question === "order, by CLIP");
    expect(new Set(order.map(({ template }) => template))).toEqual(new Set(["a {noun} <and> a {noun}"]));

    const group = report.groups.find(({ word }) => word === "koala")!;
    const mean = await pixels(group.mean);
    const some = await Promise.all(
      group.prompts.flatMap((i) => report.images[i]!.files.map((file) => pixels(file))),
    );
    expect(some).toHaveLength(4);
    expect(mean.every((x, k) => x === Math.round(some.reduce((sum, one) => sum + one[k]!, 0) / 4))).toBe(
      true,
    );

    const [html, markdown] = await Promise.all(
      ["report.html", "report.md"].map((name) => readFile(path.join(at("out"), name), "utf8")),
    );
    expect(html).not.toMatch(/<script|<link|(?:src|href)="(?!data:)|<and>/);
    // A mean of each group and an image of each prompt and seed, by each of the models.
    expect(html!.match(/src="data:image/g)).toHaveLength(2 * report.groups.length + 2 * 6 * 2);
    expect(markdown).toContain("| as asked ");
    expect(markdown).toContain("| nano, 1 step ");
  }, 240_000);
});

describe("a probe is refused, before anything is generated,", () => {
  it("where its questions have no CLIP model to answer them", async () => {
    const refusal = await koala(at("probe.yaml"), "-o", at("none")).then(
      () => "",
      ({ stderr }: { stderr: string }) => stderr,
    );
    expect(refusal).toContain('--clip: must be a CLIP model for the question "order", got none. Add it.');
    expect(await readdir(folder)).not.toContain("none");
  }, 240_000);
});
