/** @file Holds the imports of `src` to the layers that ARCHITECTURE.md draws. */

import { existsSync, readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";

const source = new URL("../src", import.meta.url).pathname;

/** What each folder (or file at the top) may import of the others, beside the foundation. */
const layers: Record<string, readonly string[]> = {
  "errors.ts": [],
  "closest.ts": [],
  "byte-size.ts": [],
  "validation.ts": ["files"],
  files: [],
  "plain-error.ts": ["files"],
  "calls.ts": ["plain-error.ts"],
  "threads.ts": ["calls.ts"],
  http: ["files"],
  tensor: [],
  "package-files.ts": [],
  "nn.ts": ["tensor"],
  models: ["tensor", "nn.ts"],
  weights: ["files"],
  hub: ["files", "weights"],
  engine: ["tensor", "files", "weights", "threads.ts"],
  text: ["closest.ts"],
  diffusion: ["closest.ts"],
  grid: ["text"],
  image: ["files", "grid"],
  pipeline: [
    ...["tensor", "nn.ts", "models", "files", "weights", "hub", "engine"],
    "text",
    "diffusion",
    "image",
  ],
  evaluate: [...["tensor", "models", "files", "weights", "engine", "text", "diffusion", "image", "pipeline"]],
  train: [
    ...["tensor", "nn.ts", "models", "files", "weights", "engine", "text", "diffusion", "image", "pipeline"],
    ...["monitor", "threads.ts"],
  ],
  monitor: ["files", "http"],
  jobs: [
    ...["files", "models", "weights", "engine", "text", "diffusion", "image", "pipeline"],
    ...["plain-error.ts", "threads.ts"],
  ],
  tab: ["files", "hub", "engine", "jobs", "text", "calls.ts"],
  server: ["engine", "files", "http", "hub", "text", "diffusion", "image", "pipeline", "jobs", "threads.ts"],
  "server.ts": ["server", "jobs", "engine", "image", "pipeline"],
  cli: [
    ...["files", "tensor", "models", "weights", "hub", "engine", "diffusion", "grid", "image", "pipeline"],
    ...["text", "train", "evaluate", "monitor", "jobs", "server"],
  ],
  "schedulers.ts": ["diffusion"],
  "index.ts": ["engine", "hub", "schedulers.ts", "image", "pipeline", "text", "train"],
  "train.ts": ["files", "monitor", "train"],
};

/** Layers that a browser build may include, and which therefore must not need Node. */
const everywhere = [
  ...["tensor", "nn.ts", "models", "text", "diffusion", "grid"],
  ...["errors.ts", "closest.ts", "byte-size.ts", "validation.ts"],
];

const files = readdirSync(source, { recursive: true, encoding: "utf8" }).filter(
  (f) => f.endsWith(".ts") && !f.endsWith(".test.ts"),
);
const imports = (file: string) =>
  [
    ...readFileSync(path.join(source, file), "utf8").matchAll(/^(?:import|export)[^;]*? from "([^"]+)"/gms),
  ].map((m) => m[1]!);
/** Those that are still there when types are gone. */
const valueImports = (file: string) =>
  [...readFileSync(file, "utf8").matchAll(/^(?:import|export)(?! type\b)(?:[^;]*? from)? "([^"]+)"/gms)].map(
    (m) => m[1]!,
  );
const layerOf = (file: string) => file.split(path.sep)[0]!;

/** What every layer may import. */
const foundation = ["errors.ts", "closest.ts", "byte-size.ts", "validation.ts", "package-files.ts"];

describe("imports point downwards", () => {
  it.each(files)("%s", (file) => {
    const layer = layerOf(file);
    expect(Object.keys(layers), `the layer of src/${file}`).toContain(layer);
    for (const target of imports(file).filter((i) => i.startsWith(".") && !i.endsWith(".json"))) {
      const other = layerOf(path.relative(source, path.resolve(source, path.dirname(file), target)));
      const name = other.replace(/\.js$/, ".ts");
      const allowed = [layer, ...foundation, ...layers[layer]!];
      expect(allowed, `${file} imports ${target}`).toContain(name);
    }
  });

  it("nothing that a browser needs imports Node", () => {
    const offenders = files.filter(
      (f) => everywhere.includes(layerOf(f)) && imports(f).some((i) => i.startsWith("node:")),
    );
    expect(offenders).toEqual([]);
  });

  it("nothing that the page or its Worker includes imports Node", () => {
    const page = new URL("../web/src", import.meta.url).pathname;
    const reached = new Set(
      readdirSync(page, { recursive: true, encoding: "utf8" })
        .filter((name) => /\.tsx?$/.test(name) && !name.endsWith(".test.ts"))
        .map((name) => path.join(page, name)),
    ).add(path.join(source, "tab/worker.browser.ts"));
    const packages = new Map<string, string>();
    for (const file of reached)
      for (const target of valueImports(file)) {
        const source = path.resolve(path.dirname(file), target).replace(/\.js$/, "");
        const found = [".browser.ts", ".ts", ".tsx"].map((end) => source + end).find(existsSync);
        if (target.startsWith(".") && found) reached.add(found);
        else if (!/\.(css|json)$/.test(target)) packages.set(target, path.basename(file));
      }
    for (const shared of ["src/image/metadata/file-texts.ts", "src/pipeline/pipeline.ts"])
      expect([...reached].some((file) => file.endsWith(shared))).toBe(true);
    const own = [
      "preact",
      "preact/hooks",
      "@preact/signals",
      "idb",
      "client-zip",
      "eventsource-parser/stream",
      // The Worker's.
      ...["zod", "zod/mini", "@hono/zod-openapi", "@noble/hashes/sha2", "@noble/hashes/utils"],
    ];
    expect([...packages].filter(([name]) => !own.includes(name))).toEqual([]);
  });

  it("nothing but files/file-system.ts asks the file system, so that all its errors are told with path and remedy", () => {
    // The kernel's own files, and what lies in this package.
    const others = [
      "cli/program.ts",
      "engine/devices/drivers.ts",
      "engine/memory/available.ts",
      "pipeline/metadata/versions.ts",
      "hub/bundled-models.ts",
    ];
    const asking = files.filter((f) =>
      /^import (?!type)[^;]* from "(node:)?fs(\/promises)?"/m.test(
        readFileSync(path.join(source, f), "utf8"),
      ),
    );
    expect(asking.sort()).toEqual([...others, "files/file-system.ts"].sort());
  });
});

describe("tests beside the source", () => {
  const root = new URL("..", import.meta.url).pathname;
  const tests = ["src", "web/src", "nano"].flatMap((folder) =>
    readdirSync(path.join(root, folder), { recursive: true, encoding: "utf8" })
      .filter((file) => file.endsWith(".test.ts") && !file.includes("node_modules"))
      .map((file) => path.join(folder, file)),
  );

  it("start no processes, servers or browsers: those that do are in test", () => {
    const starts =
      /from "node:(child_process|net|https?)"|from ".*\/(hub-server|proxy-server|redis-server|limited|browser)\.js"|\.listen\(/;
    expect(tests.length).toBeGreaterThan(80);
    expect(tests.filter((file) => starts.test(readFileSync(path.join(root, file), "utf8")))).toEqual([]);
  });
});
