/** @file Errors that crossed a thread: class, fields and message as before. */

import { readFile } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import {
  Busy,
  Cancelled,
  DeviceLostError,
  DeviceMemoryError,
  EngineError,
  FileError,
  InvalidRequest,
  ModelError,
  ShapeError,
} from "./errors.js";
import { errorFrom, plainError } from "./plain-error.js";

const crossed = (error: unknown): Error => errorFrom(structuredClone(plainError(error)));

describe("an error that crossed a thread", () => {
  it.each([
    new Cancelled("the grid"),
    new Busy("images to read"),
    new InvalidRequest("width", 5, "must be 8, got 5."),
    new ModelError("unet/config.json", "missing 1 tensor.", { missing: ["a"], unexpected: ["b"] }),
    new FileError("a.png", "EACCES", "must be readable, got EACCES."),
    new EngineError("unet", new Error("out of memory")),
    new DeviceLostError("unet", new Error("webgpu was lost")),
    new DeviceMemoryError("vae", new Error("webgpu has no memory left")),
    new ShapeError("up_blocks.0", "concat: [2] does not fit [3]"),
    new ShapeError("", "concat: [2] does not fit [3]"),
    new TypeError("x is not a function"),
  ])("keeps its class, fields and message: $name", (error) => {
    const { stack: _, cause: __, ...fields } = error as Error & { value?: unknown };
    if ("value" in fields) delete fields.value; // any value, which may not be cloned
    const arrived = crossed(error);
    expect(arrived).toMatchObject({ ...fields, message: error.message });
    expect(arrived.constructor).toBe(error.constructor === TypeError ? Error : error.constructor);
  });

  it("is a FileError where the system threw it", async () => {
    const raw: unknown = await readFile("/absent/config.json").catch((error: unknown) => error);
    expect(crossed(raw)).toBeInstanceOf(FileError);
    expect(crossed(raw)).toMatchObject({ code: "ENOENT", file: "/absent/config.json" });
  });
});
