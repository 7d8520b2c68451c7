/** @file Malformed requests for every route of the OpenAPI document: none is answered with a 5xx. */

import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Document, malformed, rng } from "../malformed.js";
import { type Stage, stage } from "../serving.js";

const count = 2000;
const seed = 20_261_125;
const plain = {
  model: "koala-1b-tiny",
  scheduler: "euler",
  sampler_name: "Euler a",
  count: 1,
  n: 1,
  batch_size: 1,
  n_iter: 1,
};

let at: Stage;
beforeAll(async () => {
  // What happens to be valid is generated, so it is kept small.
  at = await stage({ limits: { steps: 1, count: 2, pixels: 64 * 64, queue: 4, bodyBytes: 200_000 } });
});
afterAll(() => at.close());

describe("the server", () => {
  it(`answers ${count} malformed requests without a 5xx`, async () => {
    const document = (await (await at.get("/openapi.json")).json()) as Document;
    const random = rng(seed);
    const image = (
      await sharp({ create: { width: 64, height: 64, channels: 3, background: "#c33" } })
        .png()
        .toBuffer()
    ).toString("base64");
    const hints = {
      width: 64,
      height: 64,
      size: "64x64",
      image,
      mask: image,
      init_images: [image],
      steps: 1,
      ...plain,
    };
    const seen = new Map<number, number>();
    for (let i = 0; i < count; i++) {
      const { url, init, what } = malformed(document, hints, random);
      const response = await at.app.request(url, { ...init, signal: AbortSignal.timeout(10_000) });
      const answer = response.headers.get("content-type")?.includes("json") ? await response.text() : "";
      expect(response.status, `request ${i}: ${what} -> ${answer.slice(0, 300)}`).toBeLessThan(500);
      if (!answer) await response.body?.cancel();
      seen.set(response.status, (seen.get(response.status) ?? 0) + 1);
    }
    expect(at.errors).toEqual([]);
    // It would prove nothing if all stopped at the same door.
    for (const status of [200, 400, 404, 415, 422]) expect([...seen.keys()]).toContain(status);
    expect((await at.get("/healthz")).status).toBe(200);
  });
});
