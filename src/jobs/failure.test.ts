/** @file What clients are told of errors, and what they are not. */

import { readFile } from "node:fs/promises";
import { expect, it } from "vitest";
import { EngineError, FileError, InvalidRequest, ModelError } from "../errors.js";
import { failureOf } from "./failure.js";
import { errorFrom, plainError } from "./plain-error.js";

it("a broken model is told by its file, not by the place of its folder", () => {
  const file = "/home/some one/models/koala/unet/config.json";
  expect(failureOf(new ModelError(file, `must be JSON, got none. See ${file}.`))).toEqual({
    code: "model_error",
    message: "unet/config.json: must be JSON, got none. See unet/config.json.",
  });
});

it("ONNX Runtime's messages lose their paths and keep the rest", () => {
  const told = (cause: string) => failureOf(new EngineError("unet", new Error(cause))).message;
  expect(told("open file /srv/models/unet/model.safetensors failed: 2/3 read")).toBe(
    "unet: open file model.safetensors failed: 2/3 read",
  );
  expect(told('[/srv/a/b.onnx] "/srv/c/d" and C:\\Users\\me\\e.bin')).toBe('unet: [b.onnx] "d" and e.bin');
  expect(told("Failed to allocate memory for a buffer of size 12/s")).toContain("size 12/s");
});

it("a wrong request is told in full, a bug not at all", () => {
  expect(failureOf(new InvalidRequest("width", 5, "must be 8, got 5."))).toEqual({
    code: "invalid_request",
    message: "width: must be 8, got 5.",
    field: "width",
  });
  expect(failureOf(new TypeError("secret"))).toMatchObject({ code: "internal" });
  expect(failureOf(new TypeError("secret")).message).not.toContain("secret");
});

it("what the system refuses is told with its code, without the place, and comes whole out of a thread", async () => {
  const raw: unknown = await readFile("/absent/models/unet/config.json").catch((error: unknown) => error);
  const told = {
    code: "model_error",
    message: "unet/config.json: must be usable, got ENOENT (no such file or directory). Check the path.",
  };
  expect(failureOf(raw)).toEqual(told);
  const arrived = errorFrom(structuredClone(plainError(raw)));
  expect(arrived).toBeInstanceOf(FileError);
  expect((arrived as FileError).code).toBe("ENOENT");
  expect(failureOf(arrived)).toEqual(told);
});
