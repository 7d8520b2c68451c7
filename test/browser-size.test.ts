/** @file How much code of the library a page loads. */

import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { build, type Metafile } from "esbuild";
import { describe, expect, it } from "vitest";

/** The library as a page has it, cut where modules are loaded at need; ONNX Runtime is another package's. */
const { metafile, outputFiles } = await build({
  stdin: { contents: 'export { DiffusionPipeline } from "./dist/index.js"', resolveDir: "." },
  ...{ bundle: true, splitting: true, minify: true, metafile: true, write: false },
  ...{ format: "esm", platform: "browser", outdir: "out", external: ["onnxruntime-web"] },
});

type Output = Metafile["outputs"][string];
const outputs = Object.entries(metafile.outputs);
const zipped = new Map(
  outputs.map(([name], i) => [name, gzipSync(outputFiles[i]!.contents, { level: 9 }).length]),
);

/** The files that are loaded with this one. */
function withImports(name: string, seen = new Set<string>()): Set<string> {
  if (seen.has(name) || !metafile.outputs[name]) return seen;
  seen.add(name);
  for (const { path, kind } of metafile.outputs[name].imports)
    if (kind === "import-statement") withImports(path, seen);
  return seen;
}

const kilobytes = (names: Iterable<string>) =>
  [...names].reduce((sum, name) => sum + zipped.get(name)!, 0) / 1000;

/** The largest modules of these files, as the message for one that grew. */
function largest(of: readonly Output[]): string {
  const modules = of.flatMap(({ inputs }) => Object.entries(inputs));
  const rows = modules.sort(([, a], [, b]) => b.bytesInOutput - a.bytesInOutput).slice(0, 20);
  return `the largest modules:\n${rows.map(([name, i]) => `${i.bytesInOutput} ${name}`).join("\n")}`;
}

const code = outputFiles.map(({ text }) => text).join("\n");

describe("the library for a browser", () => {
  it("is at most 150 kB gzipped, and 25 kB more that are loaded at need", () => {
    const [entry] = outputs.find(([, { entryPoint }]) => entryPoint === "<stdin>")!;
    const loaded = withImports(entry);
    const modules = largest([...loaded].map((name) => metafile.outputs[name]!));
    expect(kilobytes(loaded), modules).toBeLessThanOrEqual(150);
    expect(kilobytes(zipped.keys()), modules).toBeLessThanOrEqual(175);
  });

  it("names the versions of the package and of ONNX Runtime", () => {
    const versionIn = (file: string): string => JSON.parse(readFileSync(file, "utf8")).version;
    expect(code.includes(`"koala-diffusion ${versionIn("package.json")}"`)).toBe(true);
    expect(code.includes(`"${versionIn("node_modules/onnxruntime-web/package.json")}"`)).toBe(true);
  });

  it("evaluates no code, as a page's policy forbids", () => {
    expect(/\beval\(|new Function\(/.exec(code)).toBeNull();
  });
});
