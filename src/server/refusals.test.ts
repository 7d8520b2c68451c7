/** @file What the log says of refused requests, and what it never says. */

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Stage, stage } from "../../test/serving.js";
import { refusalLog } from "./refusals.js";

let at: Stage;
beforeAll(async () => {
  at = await stage({ guard: { key: "k3y-of-mine" } });
});
afterAll(() => at.close());

const key = { authorization: "Bearer k3y-of-mine" };
const post = async (path: string, body: unknown, headers: Record<string, string> = key) => {
  const before = at.refusals.length;
  await at.post(path, body, headers);
  return at.refusals.slice(before);
};

describe("a refused request", () => {
  it("is logged in one line: method, route, status and reason", async () => {
    expect(await post("/api/jobs", { prompt: "x", width: 500 })).toEqual([
      "POST /api/jobs 422 width: must be a multiple of 8, got 500. Nearest: 496 or 504.",
    ]);
    const [sampler] = await post("/sdapi/v1/txt2img", { prompt: "x", sampler_name: "DPM fastest" });
    expect(sampler).toMatch(/^POST \/sdapi\/v1\/txt2img 422 sampler_name: must be one of "Euler"/);
    expect(await post("/v1/images/generations", { prompt: "x", stepz: 5 })).toEqual([
      'POST /v1/images/generations 422 stepz: is not a field here. Did you mean "steps"?',
    ]);
    expect(await post("/sdapi/v1/nothing?token=s3cret", {})).toEqual([
      "POST /sdapi/v1/nothing 404 path: no such route. /openapi.json lists them.",
    ]);
  });

  it("is logged without the id that opens an image", async () => {
    await at.get("/api/jobs/4f0c2a4e-6c1b-4b0e-9d0a-3f1f9a1b2c3d/images/0");
    expect(at.refusals.at(-1)).toBe(
      "GET /api/jobs/:id/images/:n 404 image: must be one that is there, got another.",
    );
  });

  it("is logged without keys, prompts and images", async () => {
    const secret = "s3cret";
    const long = `${secret} ${"a".repeat(30_000)}`;
    const image = Buffer.from(`${secret}`.repeat(100)).toString("base64");
    const lines = [
      ...(await post("/api/jobs", { prompt: long })),
      ...(await post("/api/jobs", { prompt: { text: secret } })),
      ...(await post("/api/jobs", { prompt: "x", image })),
      ...(await post("/api/jobs", { prompt: "x", image: `file://${secret}` })),
      ...(await post("/api/jobs", `{"prompt": "${secret}`)),
      ...(await post("/sdapi/v1/txt2img", { prompt: secret, negative_prompt: [secret] })),
      ...(await post("/sdapi/v1/txt2img", { prompt: secret, styles: [secret] })),
      ...(await post("/sdapi/v1/txt2img", {
        alwayson_scripts: { ControlNet: { args: [{ image: secret }] } },
      })),
      ...(await post("/sdapi/v1/options", { CLIP_stop_at_last_layers: secret })),
      ...(await post("/sdapi/v1/png-info", { image: secret })),
      ...(await post("/v1/images/generations", { prompt: secret, n: secret, seed: secret })),
      ...(await post("/api/jobs", { prompt: secret }, { authorization: `Bearer ${secret}` })),
      ...(await post("/api/jobs", { prompt: secret }, { authorization: `Basic ${secret}` })),
    ];
    expect(lines).toHaveLength(13);
    for (const line of lines) {
      expect(line).not.toContain(secret);
      expect(line).not.toContain(image.slice(0, 20));
      expect(line).not.toContain("k3y");
      expect(line.length).toBeLessThan(450);
    }
  });

  it("cannot forge a line or hide what is in one", async () => {
    const name = "x\r\nPOST /api/jobs 200 \u202e\u2028\x1b[2K\x07\ud800";
    const [line, ...more] = await post("/api/jobs", { prompt: "x", [name]: 1 });
    expect(more).toEqual([]);
    expect(line).toMatch(/^[\x20-\x7e]*$/);
    expect(line).toContain("x\\u000d\\u000aPOST /api/jobs 200 \\u202e\\u2028\\u001b[2K\\u0007");
    await at.app.request(`http://localhost/%0a%1b${"y".repeat(5000)}`, { headers: key });
    expect(at.refusals.at(-1)).toMatch(/^GET \/[\x20-\x7e]{90,220}$/);
  });
});

describe("a flood of refusals", () => {
  it("is logged in a few lines, and then how many were not shown", () => {
    let now = 0;
    const lines: string[] = [];
    const log = refusalLog((line) => lines.push(line), { burst: 3, perSecond: 0.5, now: () => now });
    for (let i = 0; i < 1000; i++) log(`line ${i}`);
    expect(lines).toEqual(["line 0", "line 1", "line 2"]);
    now = 2000;
    log("later");
    expect(lines.slice(3)).toEqual(["997 more that are not shown", "later"]);
    for (; now < 1_000_000; now += 10) log("x");
    expect(lines.length).toBeLessThan(5 + 3 + 2 * 500);
    expect(lines.length).toBeGreaterThan(900);
  });
});
