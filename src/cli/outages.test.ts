/** @file A start that waits while too many files are open. */

import { describe, expect, it } from "vitest";
import { FileError, ModelError } from "../errors.js";
import { whenFilesOpen } from "./outages.js";

describe("a start with too many open files", () => {
  const tooMany = new FileError("unet/config.json", "EMFILE", "must be readable, got EMFILE.");
  const failing = (error: Error, times: number) => {
    let tries = 0;
    return async () => {
      if (tries++ < times) throw error;
      return tries;
    };
  };

  it("is tried again until a file can be opened", async () => {
    expect(await whenFilesOpen(failing(tooMany, 3), { pauseMs: 1 })).toBe(4);
  });

  it("fails once its time is over", async () => {
    const start = whenFilesOpen(failing(tooMany, 1000), { pauseMs: 1, seconds: 0.02 });
    await expect(start).rejects.toBe(tooMany);
  });

  it("fails at once for any other reason", async () => {
    const broken = new ModelError("unet/config.json", "must be JSON.");
    await expect(whenFilesOpen(failing(broken, 1), { pauseMs: 1 })).rejects.toBe(broken);
  });
});
