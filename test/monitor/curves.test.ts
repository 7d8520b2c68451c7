/** @file Tests of the curves as SVG: well-formed, complete, harmless. */

import { describe, expect, it } from "vitest";
import { curvesSvg } from "../../src/monitor/curves.js";
import type { Metrics, StepMetrics } from "../../src/monitor/metrics.js";

/** Parses strict XML as far as our SVG uses it, into its elements; throws where it is not well-formed. */
function elements(xml: string): { name: string; attributes: Record<string, string> }[] {
  const found: { name: string; attributes: Record<string, string> }[] = [];
  const open: string[] = [];
  const entity = /&(?:amp|lt|gt|quot|#39);/g;
  const token = /<(\/?)([a-z]+)((?: [\w:-]+="[^"<]*")*)(\/?)>|([^<]+)/giy;
  while (token.lastIndex < xml.length) {
    const at = token.lastIndex;
    const match = token.exec(xml);
    if (!match) throw new Error(`not XML: ${xml.slice(at, at + 60)}`);
    const [all, closing, name = "", attributes = "", empty] = match;
    if (all.replace(entity, "").includes("&")) throw new Error(`bare & in ${all}`);
    if (!all.startsWith("<")) {
      if (open.length === 0 && all.trim()) throw new Error(`text outside: ${all}`);
    } else if (closing) {
      if (open.pop() !== name) throw new Error(`unexpected </${name}>`);
    } else {
      const pairs = [...attributes.matchAll(/ ([\w:-]+)="([^"]*)"/g)].map((m) => [m[1]!, m[2]!] as const);
      if (new Set(pairs.map(([key]) => key)).size !== pairs.length)
        throw new Error(`attribute twice: ${all}`);
      found.push({ name, attributes: Object.fromEntries(pairs) });
      if (!empty) open.push(name);
    }
  }
  if (open.length > 0) throw new Error(`left open: ${open.join(" ")}`);
  return found;
}

const step = (n: number, change: Partial<StepMetrics> = {}): StepMetrics => ({
  ...{ step: n, epoch: 0, loss: 3 / n, task: 1 / n, out: 1 / n, feat: 1 / n, lr: 1e-5, gradNorm: 1 },
  ...{ imagesPerSecond: 3, secondsPerStep: 0.3, time: "2026-11-22T10:00:00.000Z", ...change },
});
const run: Metrics[] = Array.from({ length: 300 }, (_, i) => step(i + 1));
const classes = (svg: string, name: string) => elements(svg).filter((e) => e.attributes.class === name);

describe("the SVG of the curves", () => {
  it("is well-formed and has one raw and one smoothed path for each of seven series", () => {
    const svg = curvesSvg(run, { title: "my run" });
    expect(elements(svg).flatMap((e) => e.attributes["data-panel"] ?? [])).toEqual(
      ["loss", "task", "out", "feat", "gradNorm", "lr", "imagesPerSecond"], //
    );
    expect(classes(svg, "raw")).toHaveLength(7);
    expect(classes(svg, "line")).toHaveLength(7);
    expect(classes(svg, "validation")).toHaveLength(0);
  });

  it("leaves out the terms that a run does not have, and adds validation to its loss", () => {
    const alone = run.map(({ step: n }) => step(n)).map(({ task: _t, out: _o, feat: _f, ...row }) => row);
    const svg = curvesSvg([...alone, { step: 300, validation: { loss: 0.1, other: 2 } }]);
    expect(elements(svg).flatMap((e) => e.attributes["data-panel"] ?? [])).toEqual(
      ["loss", "gradNorm", "lr", "imagesPerSecond", "validation other"], //
    );
    expect(classes(svg, "validation")).toHaveLength(2);
  });

  it("draws an autoencoder's PSNR on a linear axis, whatever it spans", () => {
    const svg = curvesSvg([step(1, { psnr: 1 }), step(2, { psnr: 16 }), step(3, { psnr: 31 })], {
      window: 0,
    });
    const from = svg.indexOf('data-panel="psnr"');
    expect(from).toBeGreaterThan(0);
    const d = svg.slice(from).match(/class="raw" d="([^"]+)"/)![1]!;
    const [first, middle, last] = [...d.matchAll(/[ML][\d.]+ ([\d.]+)/g)].map((m) => Number(m[1]));
    expect(middle).toBeCloseTo((first! + last!) / 2, 0);
  });

  it("has the requested size, and draws inside it", () => {
    const svg = curvesSvg(run, { width: 500, height: 900 });
    expect(elements(svg)[0]!.attributes).toMatchObject({ width: "500", height: "900" });
    for (const { attributes } of classes(svg, "raw")) {
      for (const [, x, y] of attributes.d!.matchAll(/[ML]([\d.-]+) ([\d.-]+)/g)) {
        expect(Number(x)).toBeGreaterThanOrEqual(0);
        expect(Number(x)).toBeLessThanOrEqual(500);
        expect(Number(y)).toBeGreaterThanOrEqual(0);
        expect(Number(y)).toBeLessThanOrEqual(900);
      }
    }
  });

  it("draws a falling loss as a line that only goes down, right to the end", () => {
    const d = classes(curvesSvg(run), "raw")[0]!.attributes.d!;
    const points = [...d.matchAll(/[ML]([\d.-]+) ([\d.-]+)/g)].map((m) => [Number(m[1]), Number(m[2])]);
    expect(points).toHaveLength(300);
    for (let i = 1; i < points.length; i++) {
      expect(points[i]![0]).toBeGreaterThanOrEqual(points[i - 1]![0]!);
      expect(points[i]![1]).toBeGreaterThanOrEqual(points[i - 1]![1]!);
    }
  });

  it("breaks the line at a loss that is not finite, and says at which step", () => {
    const svg = curvesSvg([step(1), step(2), step(3, { loss: Number.NaN }), step(4), step(5)]);
    expect(classes(svg, "raw")[0]!.attributes.d!.match(/M/g)).toHaveLength(2);
    expect(svg).toContain("not finite at step 3");
    expect(svg).not.toContain("NaN");
  });

  it("stays small for 100 000 steps", () => {
    const long = Array.from({ length: 100_000 }, (_, i) => step(i + 1, { loss: 1 + Math.sin(i) / 2 }));
    expect(curvesSvg(long).length).toBeLessThan(200_000);
  });

  it("draws a run of no steps and of one step", () => {
    expect(elements(curvesSvg([])).filter((e) => e.name === "path")).toHaveLength(0);
    expect(classes(curvesSvg([step(1)]), "line")[0]!.attributes.d).toMatch(/^M[\d.]+ [\d.]+h0$/);
  });

  it("escapes text, and holds no script, link or font from elsewhere", () => {
    const evil = `</title><script>alert("1") & '2'\u0000`;
    const svg = curvesSvg([step(1), { step: 1, validation: { [evil]: 1 } }], { title: evil });
    const names = new Set(elements(svg).map((e) => e.name));
    for (const name of ["script", "a", "image", "use", "foreignObject"]) expect(names).not.toContain(name);
    expect(svg).not.toMatch(/href|url\(|@import|@font-face|\son\w+=/);
    expect(svg.replace('xmlns="http://www.w3.org/2000/svg"', "")).not.toContain("http");
  });
});
