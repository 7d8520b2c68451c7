/** @file What clients read of an error that ended a job. */

import { readFile } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { EngineError, InvalidRequest, ModelError } from "../errors.js";
import { failureOf } from "./failure.js";

describe("a job's failure", () => {
  it("names a broken model's file, not its folder on this machine", () => {
    const file = "/home/some one/models/koala/unet/config.json";
    expect(failureOf(new ModelError(file, `must be JSON, got none. See ${file}.`))).toEqual({
      code: "model_error",
      message: "unet/config.json: must be JSON, got none. See unet/config.json.",
    });
  });

  it("has ONNX Runtime's messages without their folders", () => {
    const messageOf = (cause: string) => failureOf(new EngineError("unet", new Error(cause))).message;
    expect(messageOf("open file /srv/models/unet/model.safetensors failed: 2/3 read")).toBe(
      "unet: open file model.safetensors failed: 2/3 read",
    );
    expect(messageOf('[/srv/a/b.onnx] "/srv/c/d" and C:\\Users\\me\\e.bin')).toBe(
      'unet: [b.onnx] "d" and e.bin',
    );
    expect(messageOf("Failed to allocate memory for a buffer of size 12/s")).toContain("size 12/s");
  });

  it("says all of what is wrong with a request, and nothing of a bug", () => {
    expect(failureOf(new InvalidRequest("width", 5, "must be 8, got 5."))).toEqual({
      code: "invalid_request",
      message: "width: must be 8, got 5.",
      field: "width",
    });
    expect(failureOf(new TypeError("secret"))).toMatchObject({ code: "internal" });
    expect(failureOf(new TypeError("secret")).message).not.toContain("secret");
  });

  it("gives the code of a system error, without the folder", async () => {
    const raw: unknown = await readFile("/absent/models/unet/config.json").catch((error: unknown) => error);
    expect(failureOf(raw)).toEqual({
      code: "model_error",
      message: "unet/config.json: must be usable, got ENOENT (no such file or directory). Check the path.",
    });
  });
});
