/** @file Images of requests are read in threads: as they are without, few at once, and given up when they take too long. */

import { getHeapStatistics } from "node:v8";
import { crc32, deflateSync } from "node:zlib";
import sharp from "sharp";
import { afterAll, describe, expect, it } from "vitest";
import { Busy, InvalidRequest } from "../errors.js";
import { imageTasks } from "./image-tasks.js";
import { type ImageThreads, type ImageThreadsOptions, imageThreads } from "./image-threads.js";

const opened: ImageThreads[] = [];
const threads = (options: ImageThreadsOptions = {}) => {
  const one = imageThreads(options);
  opened.push(one);
  return one;
};
afterAll(() => Promise.all(opened.map(({ close }) => close())));

const image = (side: number) =>
  sharp({ create: { width: side, height: side, channels: 4, background: "#c338" } })
    .png()
    .toBuffer();

describe("images of requests", () => {
  it("are read as they are without threads, and refused as they are without", async () => {
    const read = threads();
    const file = new Uint8Array(await image(40));
    const text = Buffer.from(file).toString("base64");
    expect(await read.sourceFromText("image", text)).toEqual(await imageTasks.sourceFromText("image", text));
    const source = await read.sourceFromBytes("image", file);
    expect(source).toEqual({ bytes: file, width: 40, height: 40, isOpaque: false });
    for (const meaning of [{ inverted: true }, { transparent: "generated" }] as const)
      expect(await read.maskSource(source, meaning)).toEqual(await imageTasks.maskSource(source, meaning));
    const refusal = await read.sourceFromText("init_images", "R0lGODlh").catch((error: unknown) => error);
    expect(refusal).toBeInstanceOf(InvalidRequest);
    expect(refusal).toMatchObject({
      field: "init_images",
      message: await imageTasks.sourceFromText("init_images", "R0lGODlh").catch((error) => error.message),
    });
  });

  it("wait in a line that has an end", async () => {
    const read = threads({ threads: 1, most: 3 });
    const text = (await image(1000)).toString("base64");
    // One is in the thread, three wait.
    const asked = Array.from({ length: 10 }, () => read.sourceFromText("image", text));
    const results = await Promise.allSettled(asked);
    expect(results.filter(({ status }) => status === "fulfilled")).toHaveLength(4);
    for (const result of results.slice(4))
      expect(result).toMatchObject({ status: "rejected", reason: expect.any(Busy) });
    expect(await read.sourceFromText("image", text)).toMatchObject({ width: 1000 });
  });

  it("are given up when they take too long, and those that waited are read", async () => {
    const read = threads({ threads: 1, seconds: 0.001 });
    const text = (await image(2000)).toString("base64");
    const asked = await Promise.allSettled([read.pngInfo(text), read.pngInfo(text)]);
    for (const result of asked)
      expect(result).toMatchObject({
        reason: { message: "image: must be read within 0.001 s and 256 MB, got more. Save it again." },
      });
  });

  it("are read again after the threads had nothing to do and ended", async () => {
    const read = threads({ idleSeconds: 0.01 });
    const text = (await image(8)).toString("base64");
    for (let i = 0; i < 3; i++) {
      expect(await read.sourceFromText("image", text)).toMatchObject({ width: 8 });
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  });

  it("fill none of the memory of the thread that answers with what is packed into them", async () => {
    const text = deflateSync(Buffer.alloc(2 ** 20 - 1, "a"), { level: 9 });
    const chunk = (type: string, data: Buffer) => {
      const sizes = [Buffer.alloc(4), Buffer.alloc(4)] as const;
      sizes[0].writeUInt32BE(data.length);
      sizes[1].writeUInt32BE(crc32(Buffer.concat([Buffer.from(type), data])));
      return Buffer.concat([sizes[0], Buffer.from(type), data, sizes[1]]);
    };
    const texts = Array.from({ length: 32 }, (_, i) =>
      chunk("zTXt", Buffer.concat([Buffer.from(`k${i}\0\0`), text])),
    );
    const png = await image(8);
    const bomb = Buffer.concat([png.subarray(0, 33), ...texts, png.subarray(33)]).toString("base64");
    const read = threads();
    const used = () => getHeapStatistics().used_heap_size + process.memoryUsage().external;
    const before = used();
    const answers = await Promise.allSettled(Array.from({ length: 4 }, () => read.pngInfo(bomb)));
    expect(answers).toHaveLength(4);
    expect(used() - before).toBeLessThan(16 * 2 ** 20);
  });
});
