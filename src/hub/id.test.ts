import { expect, test } from "vitest";
import { InvalidRequest } from "../errors.js";
import { hubModel } from "./id.js";

test("a name is owner/name, with a branch, tag or commit after @", () => {
  expect(hubModel("etri-vilab/koala-700m")).toEqual({ id: "etri-vilab/koala-700m", revision: "main" });
  expect(hubModel("a/b.c_d@refs/pr/2")).toEqual({ id: "a/b.c_d", revision: "refs/pr/2" });
  expect(hubModel("a/b", "fp16")).toEqual({ id: "a/b", revision: "fp16" });
});

test.each([
  ["koala-700m", 'name the owner too, as in "etri-vilab/koala-700m"'],
  ["https://huggingface.co/a/b/tree/fp16", 'Did you mean "a/b@fp16"?'],
  ["./models/koala", "Check the path."],
  ["a/b/c", "must be a folder that exists, or a Hub id"],
  ["a/../b", "must be a folder that exists, or a Hub id"],
])("%s is no name, and the error says what to write", (model, remedy) => {
  expect(() => hubModel(model)).toThrow(remedy);
  expect(() => hubModel(model)).toThrow(InvalidRequest);
});

test.each(["../../etc", "/main", "a//b", "", "-x"])(
  "the revision %j, which would leave the cache, is refused",
  (revision) => {
    expect(() => hubModel("a/b", revision)).toThrow("revision: must be a branch, a tag or a commit");
  },
);
