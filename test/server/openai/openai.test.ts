/** @file OpenAI's own client against this server, over a socket. */

import OpenAI, { toFile } from "openai";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Listening } from "../../../src/http/listen.js";
import { readTexts } from "../../../src/image/metadata/metadata.js";
import { type Stage, stage, tinyLora } from "../../serving.js";

let at: Stage;
let server: Listening;
let client: OpenAI;
beforeAll(async () => {
  at = await stage({
    aliases: new Map([["fast", "koala-1b-tiny"]]),
    loras: [{ name: "bicycles", ...tinyLora, scale: 0.5 }],
  });
  server = await at.listen();
  client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: "anything", maxRetries: 0 });
});
afterAll(async () => {
  await at.close();
  await server.close();
});

const small = { prompt: "a red bicycle", size: "64x64" as const };
/** Ours, which the client's types do not know and its code passes on. */
const ours = { seed: 7, steps: 2, guidance_scale: 3.5, negative_prompt: "blurry", scheduler: "dpmpp-2m" };
const bytesOf = (base64: string | undefined) => new Uint8Array(Buffer.from(base64!, "base64"));
const source = (channels: 3 | 4 = 3, side = 64) =>
  sharp({ create: { width: side, height: side, channels, background: { r: 200, g: 30, b: 30, alpha: 1 } } })
    .png()
    .toBuffer();

async function refusal(promise: Promise<unknown>): Promise<InstanceType<typeof OpenAI.APIError>> {
  const error: unknown = await promise.then(
    () => expect.fail("it was taken"),
    (e) => e,
  );
  expect(error).toBeInstanceOf(OpenAI.APIError);
  return error as InstanceType<typeof OpenAI.APIError>;
}

describe("the openai client", () => {
  it("generates with our fields at the top level, which the image's record shows", async () => {
    const { data } = await client.images.generate({
      ...small,
      ...ours,
      n: 2,
      model: "koala-1b-tiny",
      user: "u",
    });
    expect(data).toHaveLength(2);
    const { record } = await readTexts(bytesOf(data![1]!.b64_json));
    expect(JSON.parse(record!)).toMatchObject({
      prompt: small.prompt,
      negativePrompt: "blurry",
      seed: "8",
      numInferenceSteps: 2,
      guidanceScale: 3.5,
      scheduler: { className: "DPMSolverMultistepScheduler" },
    });
  });

  it("gets addresses on this server that give the files, in the format asked for", async () => {
    const webp = { response_format: "url", output_format: "webp", output_compression: 80 } as const;
    const { data } = await client.images.generate({
      ...small,
      ...webp,
      num_inference_steps: 1,
    } as typeof small & typeof webp);
    const { url } = data![0]!;
    expect(url!.startsWith(`${server.url}/api/jobs/`)).toBe(true);
    const file = await fetch(url!);
    expect(file.headers.get("content-type")).toBe("image/webp");
    expect((await sharp(Buffer.from(await file.arrayBuffer())).metadata()).width).toBe(64);
  });

  it("streams partial images and then the whole one", async () => {
    const stream = await client.images.generate({
      ...small,
      ...ours,
      steps: 8,
      stream: true,
      partial_images: 3,
    } as typeof small & {
      stream: true;
    });
    const events = [];
    for await (const event of stream) events.push(event);
    const names = events.map(({ type }) => type);
    const partial = "image_generation.partial_image";
    expect(names).toEqual([partial, partial, partial, "image_generation.completed"]);
    for (const event of events) {
      const { width, height, format } = await sharp(bytesOf(event.b64_json)).metadata();
      expect({ width, height, format }).toEqual({ width: 64, height: 64, format: "png" });
    }
    expect(events.map((event) => ("partial_image_index" in event ? event.partial_image_index : "-"))).toEqual(
      [0, 1, 2, "-"],
    );
  });

  it("reads in answers and events what of the prompt is read as letters", async () => {
    const request = { ...small, ...ours, prompt: "a cat <lora:x:0.8>", negative_prompt: "((ugly))" };
    const wanted = [
      expect.stringMatching(/^prompt: AUTOMATIC1111's syntax .*"<lora:x:0.8>"/),
      expect.stringMatching(/^negative prompt: AUTOMATIC1111's syntax .*"\(\(ugly\)\)"/),
    ];
    expect(await client.images.generate(request)).toMatchObject({ warnings: wanted });
    const events = [];
    for await (const event of await client.images.generate({ ...request, stream: true })) events.push(event);
    expect(events.at(-1)).toMatchObject({ type: "image_generation.completed", warnings: wanted });
    expect(await client.images.generate({ ...small, ...ours })).toMatchObject({ warnings: [] });
  });

  it("cancels a job whose stream it leaves", async () => {
    const stream = await client.images.generate({
      ...small,
      steps: 150,
      stream: true,
      partial_images: 3,
    } as typeof small & {
      stream: true;
    });
    for await (const _ of stream) break;
    const [job] = await at.queue.list();
    const states = [];
    for await (const event of at.queue.events(job!.id))
      if (event.type === "state") states.push(event.job.state);
    expect(states.at(-1)).toBe("cancelled");
  });

  const edited = async (body: Parameters<typeof client.images.edit>[0]) =>
    (await client.images.edit(body)) as unknown as { data: { b64_json: string }[]; warnings: string[] };

  it("edits an image, all of it or where a mask is transparent", async () => {
    const image = await toFile(await source(), "red.png", { type: "image/png" });
    const half = await sharp(await source(4))
      .composite([
        {
          input: { create: { width: 32, height: 64, channels: 4, background: "#0000" } },
          left: 0,
          top: 0,
          blend: "source",
        },
      ])
      .composite([
        {
          input: await sharp({ create: { width: 32, height: 64, channels: 4, background: "#000" } })
            .png()
            .toBuffer(),
          left: 0,
          top: 0,
          blend: "dest-out",
        },
      ])
      .png()
      .toBuffer();
    const mask = await toFile(half, "mask.png", { type: "image/png" });
    const edit = { image, prompt: "a green boat", steps: 4, seed: 3 };
    const whole = (await client.images.edit(edit)).data!;
    const inside = (await client.images.edit({ ...edit, image, mask })).data!;
    const recordOf = async (base64: string | undefined) =>
      JSON.parse((await readTexts(bytesOf(base64))).record!);
    expect(await recordOf(whole[0]!.b64_json)).toMatchObject({ strength: 0.75, width: 64 });
    expect(await recordOf(inside[0]!.b64_json)).toHaveProperty("mask");
    const stream = await client.images.edit({ ...edit, stream: true, partial_images: 1 });
    const names = [];
    for await (const { type } of stream) names.push(type);
    expect(names).toEqual(["image_edit.partial_image", "image_edit.completed"]);
  });

  it("takes the transparency of an image for its mask with dall-e-2, and warns with other models", async () => {
    const kept = await sharp({ create: { width: 32, height: 64, channels: 3, background: "#c81e00" } })
      .extend({ right: 32, background: "#0000" })
      .png()
      .toBuffer();
    const image = await toFile(kept, "half.png", { type: "image/png" });
    const edit = { image, prompt: "a green boat", steps: 2, seed: 3, response_format: "b64_json" as const };
    const keptPart = async (base64: string | undefined) => {
      const left = sharp(bytesOf(base64)).extract({ left: 0, top: 0, width: 24, height: 64 });
      return (await left.stats()).channels.map(({ mean }) => Math.round(mean));
    };
    const { data, warnings } = await edited({ ...edit, model: "dall-e-2" });
    const { data: same } = await edited({ ...edit, model: "dall-e-2", mask: image });
    expect(data).toEqual(same);
    expect(warnings).toEqual(['model: "dall-e-2" is another name of "koala-1b-tiny" here']);
    const other = await edited({ ...edit, model: "gpt-image-1" });
    expect(other.warnings.join()).toMatch(/image: is transparent in part, .*; all of it is generated anew/);
    expect(await keptPart(other.data[0]!.b64_json)).not.toEqual(await keptPart(data[0]!.b64_json));
  });

  it("lists models", async () => {
    const models = [];
    for await (const { id } of client.models.list()) models.push(id);
    expect(models).toEqual(["koala-1b-tiny"]);
    for (const id of ["koala-1b-tiny", "fast", "gpt-image-1"])
      expect(await client.models.retrieve(id)).toMatchObject({ id, object: "model", owned_by: "koala" });
    expect((await refusal(client.models.retrieve("gpt-5"))).status).toBe(404);
  });

  it("adds a LoRA, in a form too, at the server's scale or its own", async () => {
    const lorasOf = async ({ data }: { data?: { b64_json?: string }[] }) =>
      JSON.parse((await readTexts(bytesOf(data![0]!.b64_json))).record!).model.loras as { scale: number }[];
    const asked = { ...small, ...ours, lora: [{ name: "bicycles" }] };
    expect(await lorasOf(await client.images.generate(asked))).toMatchObject([{ scale: 0.5 }]);
    const image = await toFile(await source(), "red.png", { type: "image/png" });
    const lora = JSON.stringify([{ name: "bicycles", scale: 1 }]);
    const edit = { prompt: "a green boat", image, steps: 2, lora };
    expect(await lorasOf(await client.images.edit(edit))).toMatchObject([{ scale: 1 }]);
    const unknown = { ...small, lora: [{ name: "boats" }] };
    expect((await refusal(client.images.generate(unknown))).message).toContain('must be one of "bicycles"');
    const words = await refusal(client.images.edit({ ...edit, lora: "bicycles" } as typeof edit));
    expect(words).toMatchObject({ status: 400, param: "lora" });
  });

  it("reads what is wrong in OpenAI's form, by OpenAI's names", async () => {
    const generate = (body: object) => refusal(client.images.generate({ ...small, ...body }));
    expect(await generate({ size: "65x64" })).toMatchObject({
      status: 400,
      param: "size",
      type: "invalid_request_error",
    });
    expect(await generate({ model: "sdxl" })).toMatchObject({ status: 404, code: "model_not_found" });
    expect(await generate({ n: 17 })).toMatchObject({ status: 400, param: "n" });
    expect(await generate({ background: "green" })).toMatchObject({ param: "background" });
    expect(await generate({ cfg: 2, guidance_scale: 3 })).toMatchObject({ param: "cfg" });
    expect(await generate({ width: 72 })).toMatchObject({ param: "size" });
    expect(await generate({ steps: 2, num_inference_steps: 3 })).toMatchObject({
      param: "num_inference_steps",
    });
    expect((await generate({ negativ_prompt: "x" })).message).toContain('Did you mean "negative_prompt"?');
    const bomb = await toFile(Buffer.from("GIF89a"), "x.png", { type: "image/png" });
    expect(await refusal(client.images.edit({ image: bomb, prompt: "x" }))).toMatchObject({
      status: 400,
      param: "image",
    });
    const cases = await refusal(
      client.images.generate({ ...small, scheduler: "eular", stream: true } as typeof small),
    );
    expect(cases.message).toContain('Did you mean "euler"?');
  });

  it("is asked for the key in OpenAI's shape", async () => {
    const locked = await stage({ guard: { key: "secret" } });
    const door = await locked.listen();
    const open = (apiKey: string) =>
      new OpenAI({ baseURL: `${door.url}/v1`, apiKey, maxRetries: 0 }).models.list();
    expect(await refusal(open("wrong"))).toMatchObject({ status: 401, code: "invalid_api_key" });
    expect((await open("secret")).data).toHaveLength(1);
    await locked.close();
    await door.close();
  });

  it("met no bug of the server's", () => expect(at.errors).toEqual([]));
});

/** As they are sent by the programs' sources, at a small size. */
describe("a request of", () => {
  const answeredFor = (name: string) => `model: "${name}" is another name of "koala-1b-tiny" here`;
  const opaque = 'background: is opaque here, not "transparent"';
  const standard = { quality: "standard", style: "vivid" };
  const auto = { quality: "auto", size: "auto" };
  const first = "image: only the first of 2 is used";

  /** `format` is how the image comes, `warnings` what else is said. */
  type Case = { who: string; body: object; warnings?: string[]; format?: "url" | "b64_json" };
  async function expectImage(answer: Response, { warnings = [], format = "b64_json" }: Case) {
    const body = (await answer.json()) as { data: { url?: string; b64_json?: string }[]; warnings: string[] };
    expect(answer.status, JSON.stringify(body)).toBe(200);
    expect(body.warnings).toEqual(warnings);
    const { url, b64_json } = body.data[0]!;
    expect(url === undefined ? "b64_json" : "url").toBe(format);
    const file = url ? await (await fetch(url)).arrayBuffer() : bytesOf(b64_json);
    expect((await sharp(file).metadata()).format).toBe("png");
  }

  it.each<Case>([
    {
      who: "Open WebUI",
      body: { model: "dall-e-2", n: 1, response_format: "b64_json" },
      warnings: [answeredFor("dall-e-2")],
    },
    {
      who: "LibreChat's DALL-E tool",
      body: { model: "dall-e-3", n: 1, ...standard },
      warnings: [answeredFor("dall-e-3")],
      format: "url",
    },
    {
      who: "LibreChat's image_gen_oai",
      body: { model: "gpt-image-1", n: 1, background: "auto", output_format: "png", ...auto },
      warnings: [answeredFor("gpt-image-1")],
    },
    {
      who: "LobeChat",
      body: { model: "koala-1b-tiny", n: 1, seed: 1, steps: 2, cfg: 3, width: 64, height: 64, size: null },
    },
    { who: "n8n", body: { model: "koala-1b-tiny", response_format: "b64_json", n: 1, ...standard } },
    {
      who: "n8n by default",
      body: { model: "gpt-image-1-mini" },
      warnings: [answeredFor("gpt-image-1-mini")],
    },
    {
      who: "someone who wants a served model's address",
      body: { response_format: "url", moderation: "low", user: "u" },
      format: "url",
    },
    {
      who: "someone who wants what there is not",
      body: { quality: "hd", style: "natural", background: "transparent", partial_images: 2 },
      warnings: [
        "style: has no effect here; say it in the prompt",
        'quality: "hd" has no effect here; steps does',
        opaque,
      ],
    },
  ])("$who is answered with an image", async (one) => {
    const answer = await fetch(`${server.url}/v1/images/generations?api-version=2024-02-01`, {
      method: "POST",
      headers: { "content-type": "application/json", authorization: "Bearer none" },
      body: JSON.stringify({ prompt: "a cat", size: "64x64", steps: 2, ...one.body }),
    });
    await expectImage(answer, one);
  });

  it.each<Case & { images?: string[] }>([
    { who: "Open WebUI", body: { n: "1", response_format: "b64_json" } },
    {
      who: "Open WebUI with two images",
      body: { background: "transparent" },
      images: ["image[]", "image[]"],
      warnings: [first, opaque],
    },
    {
      who: "LibreChat",
      body: { model: "gpt-image-1", ...auto },
      images: ["image[]"],
      warnings: [answeredFor("gpt-image-1")],
    },
    {
      who: "LobeChat",
      body: { n: "1", input_fidelity: "high" },
      warnings: ["input_fidelity: has no effect here; strength keeps more if lower"],
    },
    { who: "someone who sends image twice", body: {}, images: ["image", "image"], warnings: [first] },
    {
      who: "someone who edits with DALL-E",
      body: { model: "dall-e-2" },
      warnings: [answeredFor("dall-e-2")],
      format: "url",
    },
  ])("$who is answered with an edited image", async ({ images = ["image"], ...one }) => {
    const form = new FormData();
    for (const [name, value] of Object.entries({ prompt: "a cat", steps: "2", ...one.body }))
      form.append(name, value);
    const file = new Blob([await source()], { type: "image/png" });
    for (const name of images) form.append(name, file, "x.png");
    await expectImage(await fetch(`${server.url}/v1/images/edits`, { method: "POST", body: form }), one);
  });
});
