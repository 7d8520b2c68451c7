/** @file Paths in a browser, beside Node's own. */

import { posix } from "node:path";
import { describe, expect, it } from "vitest";
import browser from "./path.browser.js";

const paths = [
  ...[
    "",
    ".",
    "..",
    "/",
    "a",
    "/a",
    "a/",
    "/a/b.safetensors",
    "a/b/../c",
    "../a",
    "/../a",
    "a//b/./c.tar.gz",
  ],
  ...[".hidden", "a/.hidden.json", "/hub/models--o--n/snapshots/0/unet/", "../../x"],
];

describe("paths in a browser are Node's", () => {
  it.each(paths)("%j", (path) => {
    for (const name of ["normalize", "basename", "dirname", "extname", "parse"] as const)
      expect([name, browser[name](path)]).toEqual([name, posix[name](path)]);
    expect(browser.basename(path, ".safetensors")).toBe(posix.basename(path, ".safetensors"));
    for (const other of paths) {
      expect(browser.join(path, other)).toBe(posix.join(path, other));
      expect(browser.resolve("/", path, other)).toBe(posix.resolve("/", path, other));
      const [from, to] = [posix.resolve("/", path), posix.resolve("/", other)];
      expect(browser.relative(from, to)).toBe(posix.relative(from, to));
    }
  });

  it("but for URLs, which are absolute", () => {
    expect(browser.resolve("/a", "https://example.com/m", "unet")).toBe("https:/example.com/m/unet");
    expect(browser.dirname("https:/example.com/m/unet")).toBe("https:/example.com/m");
  });
});
