/** @file Names that every JavaScript object inherits, in the place of names that a request gives. */

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Stage, stage } from "../../test/serving.js";

let at: Stage;
beforeAll(async () => {
  at = await stage();
});
afterAll(() => at.close());

const inherited = ["constructor", "__proto__", "toString", "hasOwnProperty", "valueOf", "isPrototypeOf"];
const small = { prompt: "x", width: 64, height: 64, steps: 1 };

/** The status, and all that is said. */
async function answered(path: string, body: string) {
  const answer = await at.post(path, body);
  return { status: answer.status, said: await answer.text() };
}

/** As text, since an object literal takes "__proto__" for something else. */
const withField = (fields: object, name: string, value: unknown) =>
  `${JSON.stringify(fields).slice(0, -1)},${JSON.stringify(name)}:${JSON.stringify(value)}}`;

describe("an inherited name", () => {
  it.each(inherited)("%s is no scheduler, sampler, model, size or format", async (name) => {
    for (const [path, field, status] of [
      ["/api/jobs", "scheduler", 422],
      ["/api/jobs", "model", 422],
      ["/api/jobs", "outputFormat", 422],
      ["/api/jobs", "rng", 422],
      ["/v1/images/generations", "scheduler", 400],
      ["/v1/images/generations", "model", 404],
      ["/v1/images/generations", "output_format", 400],
      ["/v1/images/generations", "size", 400],
      ["/sdapi/v1/txt2img", "sampler_name", 422],
      ["/sdapi/v1/txt2img", "sampler_index", 422],
      ["/sdapi/v1/txt2img", "scheduler", 422],
      ["/sdapi/v1/options", "sd_model_checkpoint", 422],
    ] as const) {
      const { width, height, steps, ...prompt } = small;
      const fields = path.startsWith("/v1") ? { ...prompt, steps } : path.endsWith("options") ? {} : small;
      const body = JSON.stringify({ ...fields, [field]: name });
      const answer = await answered(path, body);
      expect(answer.status, `${path} ${field}: ${answer.said}`).toBe(status);
      expect(answer.said).toContain("must be");
      expect(answer.said).not.toMatch(/function|\[native code\]|\[object/);
    }
  });

  it.each(inherited)("%s is no field, option or setting", async (name) => {
    for (const [path, fields, status] of [
      ["/api/jobs", small, 422],
      ["/v1/images/generations", { prompt: "x", steps: 1 }, 400],
      ["/sdapi/v1/options", { samples_format: "png" }, 422],
    ] as const) {
      const answer = await answered(path, withField(fields, name, "x"));
      // A record has no such key for Zod, which drops it: nothing is set by it.
      if (name === "__proto__" && path.endsWith("options")) expect(answer.status).toBe(200);
      else expect(answer, path).toMatchObject({ status, said: expect.stringContaining(name) });
      expect(answer.said).not.toMatch(/function|\[native code\]|\[object/);
    }
    const nested = JSON.stringify({ ...small, override_settings: 0 }).replace(":0}", `:{"${name}":"x"}}`);
    const answer = await answered("/sdapi/v1/txt2img", nested);
    expect(answer.status).toBe(name === "__proto__" ? 200 : 422);
  });

  it.each(inherited)("%s cannot be read out of a body that does not have it", async (name) => {
    // A1111 ignores fields that it does not know: the answer repeats them, and nothing is read through them.
    const body = withField(small, name, { tiling: true, enable_hr: true });
    expect((await answered("/sdapi/v1/txt2img", body)).status).toBe(200);
    for (const path of [
      `/api/jobs/${name}`,
      `/api/jobs/${name}/images/0`,
      `/v1/models/${name}`,
      `/sdapi/v1/${name}`,
    ])
      expect((await at.get(path)).status, path).toBe(404);
  });

  it("causes no error", () => expect(at.errors).toEqual([]));
});
