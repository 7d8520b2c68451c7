/** @file Holds the imports of `src` to the layers that ARCHITECTURE.md draws. */

import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";

const source = new URL("../src", import.meta.url).pathname;

/** What each folder (or file at the top) may import of the others; `errors.ts` is everyone's. */
const layers: Record<string, readonly string[]> = {
  "errors.ts": [],
  "text-file.ts": [],
  tensor: [],
  "nn.ts": ["tensor"],
  models: ["tensor", "nn.ts"],
  weights: [],
  hub: ["weights"],
  engine: ["tensor", "weights"],
  text: [],
  diffusion: [],
  grid: [],
  image: ["weights", "grid"],
  pipeline: ["tensor", "nn.ts", "models", "weights", "hub", "engine", "text", "diffusion", "image"],
  train: [
    "tensor",
    "nn.ts",
    "models",
    "weights",
    "engine",
    "text",
    "text-file.ts",
    "diffusion",
    "image",
    "pipeline",
  ],
  serve: ["models", "weights", "hub", "engine", "diffusion", "image", "pipeline"],
  cli: [
    "text-file.ts",
    "tensor",
    "models",
    "weights",
    "hub",
    "engine",
    "diffusion",
    "grid",
    "image",
    "pipeline",
    "train",
    "serve",
  ],
  "index.ts": ["diffusion", "image", "pipeline", "train"],
};

/** Files that a browser build includes, and which therefore must not need Node. */
const everywhere = ["tensor", "nn.ts", "models", "text", "diffusion", "grid", "errors.ts"];

const files = readdirSync(source, { recursive: true, encoding: "utf8" }).filter(
  (f) => f.endsWith(".ts") && !f.endsWith(".test.ts"),
);
const imports = (file: string) =>
  [
    ...readFileSync(path.join(source, file), "utf8").matchAll(/^(?:import|export)[^;]*? from "([^"]+)"/gms),
  ].map((m) => m[1]!);
const layerOf = (file: string) => file.split(path.sep)[0]!;

describe("imports point downwards", () => {
  it.each(files)("%s", (file) => {
    const layer = layerOf(file);
    expect(Object.keys(layers), `the layer of src/${file}`).toContain(layer);
    for (const target of imports(file).filter((i) => i.startsWith("."))) {
      const other = layerOf(path.relative(source, path.resolve(source, path.dirname(file), target)));
      const name = other.replace(/\.js$/, ".ts");
      const allowed = [layer, "errors.ts", ...layers[layer]!];
      expect(allowed, `${file} imports ${target}`).toContain(name);
    }
  });

  it("nothing that a browser needs imports Node", () => {
    const offenders = files.filter(
      (f) => everywhere.includes(layerOf(f)) && imports(f).some((i) => i.startsWith("node:")),
    );
    expect(offenders).toEqual([]);
  });

  it("nothing that the page takes from here, or that this takes in turn, imports Node", () => {
    const page = new URL("../web/src", import.meta.url).pathname;
    const taken = new Set(
      readdirSync(page, { encoding: "utf8" })
        .filter((file) => /\.tsx?$/.test(file) && !file.includes(".test."))
        .flatMap((file) => valuesFrom(path.join(page, file))),
    );
    expect([...taken].map((file) => path.relative(source, file))).toContain("image/file-texts.ts");
    for (const file of taken) for (const next of valuesFrom(file)) taken.add(next);
    const offenders = [...taken].filter((file) =>
      / from "node:|^import "node:/m.test(readFileSync(file, "utf8")),
    );
    expect(offenders).toEqual([]);
  });
});

/** The files below src that a file imports for more than their types. */
const valuesFrom = (file: string): string[] =>
  [...readFileSync(file, "utf8").matchAll(/^(?:import|export) (?!type)[^;]*? from "(\.[^"]+)"/gms)]
    .map((m) => path.resolve(path.dirname(file), m[1]!.replace(/\.js$/, ".ts")))
    .filter((target) => target.startsWith(`${source}/`));
