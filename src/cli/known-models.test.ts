/** @file The user's list of known models, by which an image's record finds the folder of its model. */

import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { pathsOf, registryFile, remember } from "./known-models.js";

let folder: string;
let file: string;
const at = (name: string) => path.join(folder, name);

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "registry-"));
  file = at("cache/koala/models.json");
  for (const name of ["a", "b"]) await mkdir(at(name));
});

afterEach(() => rm(folder, { recursive: true }));

it("is models.json of the user's cache", () => {
  expect(registryFile({ XDG_CACHE_HOME: "/caches" })).toBe("/caches/koala/models.json");
});

it("gives the places of a fingerprint that still are, the latest first, and none of another", async () => {
  for (const place of ["a", "gone", "b", "a"]) await remember([["f", at(place)]], file);
  expect(await pathsOf("f", file)).toEqual([at("a"), at("b")]);
  expect(await pathsOf("other", file)).toEqual([]);
});

it("is left alone where nothing is new, and holds no half-written file beside it", async () => {
  await remember([["f", at("a")]], file);
  const before = await readFile(file, "utf8");
  await remember([["f", at("a")]], file);
  expect(await readFile(file, "utf8")).toBe(before);
  expect(await readdir(path.dirname(file))).toEqual(["models.json"]);
});

it("keeps 8 places of 2000 fingerprints, the latest", async () => {
  await remember(
    Array.from({ length: 2001 }, (_, i) => [`f${i}`, at("a")] as const),
    file,
  );
  expect(await pathsOf("f0", file)).toEqual([]);
  expect(await pathsOf("f1", file)).toEqual([at("a")]);
  for (let i = 0; i < 9; i++) await remember([["f1", at(`place-${i}`)]], file);
  expect(JSON.parse(await readFile(file, "utf8")).seen.f1).toEqual(
    [8, 7, 6, 5, 4, 3, 2, 1].map((i) => at(`place-${i}`)),
  );
});

it.each(["", "{", "[]", '{"format":2,"seen":{}}', '{"format":1,"seen":{"f":[1]}}'])(
  "that holds %j is begun anew",
  async (text) => {
    await mkdir(path.dirname(file), { recursive: true });
    await writeFile(file, text);
    expect(await pathsOf("f", file)).toEqual([]);
    await remember([["f", at("a")]], file);
    expect(await pathsOf("f", file)).toEqual([at("a")]);
  },
);

it("that cannot be written gives the reason, since the image is generated all the same", async () => {
  await writeFile(at("cache"), "a file in its way");
  const { code, message } = (await remember([["f", at("a")]], file))!;
  expect(code).toMatch(/^(EEXIST|ENOTDIR)$/);
  expect(message).toContain(at("cache/koala"));
});
