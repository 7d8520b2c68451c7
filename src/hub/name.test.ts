/** @file The names of models and files on the Hub. */

import { describe, expect, it } from "vitest";
import { InvalidRequest } from "../errors.js";
import { hubModel, hubPath } from "./name.js";

describe("a name on the Hub", () => {
  it("a name is owner/name, with a branch, tag or commit after @", () => {
    expect(hubModel("etri-vilab/koala-700m")).toEqual({ id: "etri-vilab/koala-700m", revision: "main" });
    expect(hubModel("a/b.c_d@refs/pr/2")).toEqual({ id: "a/b.c_d", revision: "refs/pr/2" });
    expect(hubModel("a/b", "fp16")).toEqual({ id: "a/b", revision: "fp16" });
  });

  it.each([
    ["koala-700m", 'name the owner too, as in "etri-vilab/koala-700m"'],
    ["https://huggingface.co/a/b/tree/fp16", 'Did you mean "a/b@fp16"?'],
    ["./models/koala", "Check the path."],
    ["a/b/c", "must be a folder that exists, or a Hub id"],
    ["a/../b", "must be a folder that exists, or a Hub id"],
  ])("%s is refused, and the error says what to write", (model, remedy) => {
    expect(() => hubModel(model)).toThrow(remedy);
    expect(() => hubModel(model)).toThrow(InvalidRequest);
  });

  it.each(["../../etc", "/main", "a//b", "", "-x"])(
    "the revision %j, which would leave the cache, is refused",
    (revision) => {
      expect(() => hubModel("a/b", revision)).toThrow("revision: must be a branch, a tag or a commit");
    },
  );

  it("a file or folder of a repository follows the name and the revision, as in Hugging Face's file system", () => {
    const main = { id: "a/b", revision: "main" };
    expect(hubPath("vae", "a/b")).toEqual({ ...main, inside: "" });
    expect(hubPath("vae", "a/b/c.safetensors")).toEqual({ ...main, inside: "c.safetensors" });
    expect(hubPath("vae", "a/b@v1/x/c.safetensors")).toEqual({
      ...main,
      revision: "v1",
      inside: "x/c.safetensors",
    });
    expect(hubPath("vae", "a/b@refs/pr/2/c.safetensors").revision).toBe("refs/pr/2");
    expect(hubPath("vae", "a/b@my%2Fbranch/vae")).toEqual({ ...main, revision: "my/branch", inside: "vae" });
  });

  it.each([
    ["loras/pixel.safetensors", "lora: must be a file or folder that exists, or on the Hub owner/name"],
    ["pixel.safetensors", "Check the path."],
    ["./loras/pixel", "Check the path."],
    ["/loras/pixel/x.safetensors", "Check the path."],
    ["a/b/../../etc/passwd", "Check the path."],
    ["a/b@../x", "revision: must be a branch"],
    ["https://huggingface.co/a/b", 'Did you mean "a/b"?'],
    [
      "https://huggingface.co/a/b/blob/main/x/c.safetensors?download=true",
      'Did you mean "a/b/x/c.safetensors"?',
    ],
    ["https://huggingface.co/a/b/resolve/v1/c.safetensors", 'Did you mean "a/b@v1/c.safetensors"?'],
  ])("%s is not a path on the Hub, and the error says what to write", (name, message) => {
    expect(() => hubPath("lora", name)).toThrow(message);
    expect(() => hubPath("lora", name)).toThrow(InvalidRequest);
  });
});
