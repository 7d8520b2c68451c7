/** @file AUTOMATIC1111's clients against this server: stable-diffusion-api from npm over a socket, fetch for the rest. */

import sharp from "sharp";
import { StableDiffusionApi } from "stable-diffusion-api";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Listening } from "../../../src/http/listen.js";
import { type Stage, stage, tinyEmbedding, tinyLora } from "../../serving.js";

let at: Stage;
let server: Listening;
let client: StableDiffusionApi;
beforeAll(async () => {
  at = await stage({ loras: [{ name: "bicycles", ...tinyLora }], embeddings: [tinyEmbedding] });
  server = await at.listen();
  client = new StableDiffusionApi({ baseUrl: server.url, defaultStepCount: 2 });
});
afterAll(async () => {
  await at.close();
  await server.close();
});

const small = { prompt: "a red bicycle", width: 64, height: 64, seed: 7 };
const image = () => sharp({ create: { width: 64, height: 64, channels: 3, background: "#c33" } }).png();
const red = async () => (await image().toBuffer()).toString("base64");
const jsonOf = async <T>(response: Promise<Response>): Promise<T> => (await (await response).json()) as T;

/** The message that a refusal gives with its status. */
async function refused(body: object, path = "txt2img"): Promise<string> {
  const answer = await at.post(`/sdapi/v1/${path}`, body);
  expect(answer.status).toBe(422);
  const { detail } = (await answer.json()) as { detail: { loc: string[]; msg: string }[] };
  expect(detail[0]!.msg.startsWith(`${detail[0]!.loc[1]}: `)).toBe(true);
  return detail[0]!.loc[1]!;
}

describe("stable-diffusion-api", () => {
  it("generates from text with all the fields it always sends, and reads the info", async () => {
    const result = await client.txt2img({ ...small, batch_size: 2, negative_prompt: "blurry" });
    expect(result.images).toHaveLength(2);
    expect((await result.image.metadata()).width).toBe(64);
    const info = JSON.parse(result.info as string);
    expect(info).toMatchObject({
      seed: 7,
      all_seeds: [7, 8],
      sampler_name: "Euler a",
      steps: 2,
      cfg_scale: 7,
    });
    expect(info.infotexts[0]).toMatch(/^a red bicycle\nNegative prompt: blurry\nSteps: 2, Sampler: Euler a/);
    expect(result.parameters).toMatchObject({ prompt: small.prompt, width: 64 });
  });

  // A client of A1111's API means A1111's grammar, so a prompt with it is obeyed; it was warned of before.
  it("obeys the prompt's grammar, reads in info what is read as letters, and draws a seed for -1", async () => {
    const prompt = "a (cat:1.3) BREAK a {red|blue} dog";
    const [one, two] = [
      await client.txt2img({ ...small, prompt, seed: -1 }),
      await client.txt2img({ ...small, prompt, seed: -1 }),
    ];
    const [info, other] = [JSON.parse(one.info as string), JSON.parse(two.info as string)];
    expect(info.warnings).toEqual([expect.stringContaining('read as letters: "{red|blue}"')]);
    const pixels = async (text: string) => {
      const { image } = await client.txt2img({ ...small, prompt: text });
      return (await image.removeAlpha().raw().toBuffer()).toString("hex");
    };
    expect(await pixels("a (cat:1.0) on [a mat:3]")).toBe(await pixels("a cat on"));
    expect(await pixels("a (cat:1.5)")).not.toBe(await pixels("a cat"));
    expect(info.seed).not.toBe(other.seed);
  });

  it("generates from an image, and inside a mask", async () => {
    const whole = await client.img2img({ ...small, init_images: [image()], steps: 4 });
    const masked = await client.img2img({
      ...small,
      init_images: [image()],
      steps: 4,
      mask_image: image(),
    });
    expect(JSON.parse(whole.info as string)).toMatchObject({ denoising_strength: 0.75 });
    for (const { images } of [whole, masked]) expect(images).toHaveLength(1);
  });

  it("reads an image's settings back", async () => {
    const generated = await client.txt2img({ ...small, sampler_name: "DPM++ 2M Karras" });
    const { images } = generated.response.data;
    const info = await jsonOf<{ info: string; parameters: Record<string, string> }>(
      at.post("/sdapi/v1/png-info", { image: `data:image/png;base64,${images![0]}` }),
    );
    expect(info.info).toContain("Sampler: DPM++ 2M, Schedule type: Karras");
    expect(info.parameters).toMatchObject({ Prompt: small.prompt, Seed: "7", "CFG scale": "7" });
    expect((await client.pngInfo(image())).info).toEqual({});
  });

  it("asks for what there is, and chooses a model", async () => {
    expect((await client.getSamplers()).map(({ name }) => name)).toContain("Euler a");
    expect((await client.getSdModels()).map(({ title }) => title)).toEqual(["koala-1b-tiny"]);
    expect(await client.getCurrentModel()).toBe("koala-1b-tiny");
    await client.setModel("koala-1b-tinny");
    await client.refreshCheckpoints();
    await client.setOptions(await client.getOptions());
    for (const list of [
      client.getUpscalers(),
      client.getHypernetworks(),
      client.getFaceRestorers(),
      client.getRealesrganModels(),
      client.getPromptStyles(),
    ])
      expect(await list).toEqual([]);
    expect(await client.getCmdFlags()).toEqual({});
  });

  it.each([
    ["/internal/ping", {}],
    ["/app_id/", { app_id: expect.any(Number) }],
    ["/sdapi/v1/version", { app: "koala-diffusion", version: expect.stringMatching(/^\d+\.\d+\.\d+$/) }],
    [
      "/sdapi/v1/embeddings",
      {
        loaded: {
          badmix: { step: null, sd_checkpoint: null, sd_checkpoint_name: null, shape: 72, vectors: 4 },
        },
        skipped: {},
      },
    ],
    ["/sdapi/v1/loras", [{ name: "bicycles", alias: "bicycles", path: "bicycles", metadata: {} }]],
    ["/controlnet/model_list", { model_list: [] }],
    ["/controlnet/module_list", { module_list: [], module_detail: {} }],
  ])("is answered at %s", async (path, answer) => {
    expect(await jsonOf(at.get(path))).toEqual(answer);
  });

  it.each(["/config", "/controlnet/version", "/sdapi/v1/interrogate", "/queue/status"])(
    "reads that there is no %s",
    async (path) => {
      const answer = await at.get(path);
      expect(answer.status).toBe(404);
      expect(await answer.json()).toHaveProperty("error");
    },
  );
});

type Answer = { images: string[]; info: string };
const infoOf = ({ info }: Answer) => JSON.parse(info) as { warnings: string[]; sampler_name: string };

/** As they are sent by the programs' sources, at a small size. */
describe("a request of", () => {
  const init_images = ["data:image/png;base64,<red>"];
  const inpaint = { init_images, mask: "<red>", steps: 4 };
  const noEffect = (names: string) =>
    `mask: has no effect here: ${names}; the whole image is generated, from its own content, up to the mask's edge`;
  it.each<[name: string, body: object, warnings?: string[]]>([
    ["Open WebUI", { batch_size: 1, negative_prompt: "bad", sampler_name: "DPM++ 2M", scheduler: "Karras" }],
    ["LibreChat", { negative_prompt: "bad", cfg_scale: 4.5 }],
    [
      "AI Render",
      {
        ...{ init_images, image_similarity: 0.4, sampler: "LMS", sampler_index: "LMS", steps: 4 },
        denoising_strength: 0.6,
      },
    ],
    [
      "aiyabot",
      {
        ...{ sampler_index: "Euler a", seed_resize_from_h: -1, seed_resize_from_w: -1, n_iter: 1 },
        ...{ denoising_strength: null, styles: ["None"] },
        override_settings: { CLIP_stop_at_last_layers: 1 },
      },
    ],
    [
      "Stable Boy",
      { steps: "2.0", sampler_index: "Euler a", cfg_scale: 7.5, seed: "-1", restore_faces: 0, batch_size: 1 },
    ],
    [
      "a Photoshop plugin",
      { ...inpaint, inpainting_fill: 2, mask_blur: 8, inpaint_full_res: false, alwayson_scripts: {} },
      [noEffect("inpainting_fill 2, mask_blur 8")],
    ],
    [
      "A1111's page, only masked",
      {
        ...inpaint,
        inpaint_full_res: true,
        inpaint_full_res_padding: 64,
        inpainting_fill: 1,
        mask_blur: "0",
      },
      [noEffect("inpaint_full_res true")],
    ],
    [
      "someone who inpaints by the defaults",
      inpaint,
      [noEffect("inpaint_full_res true, inpainting_fill 0, mask_blur 4")],
    ],
    [
      "someone who asks for what is done here",
      { ...inpaint, inpaint_full_res: 0, inpainting_fill: 1, mask_blur: 0 },
      [],
    ],
    [
      "someone who writes numbers as text",
      { steps: "2", width: "64", height: " 64 ", cfg_scale: "7", send_images: "1" },
    ],
    [
      "someone who asks for any size",
      { width: 71, height: 72 },
      ["width: 71 is rounded to 64, a multiple of 8"],
    ],
    [
      "someone who asks for OpenAI's model",
      { override_settings: { sd_model_checkpoint: "dall-e-3" } },
      ['model: "dall-e-3" is another name of "koala-1b-tiny" here'],
    ],
  ])("%s is answered with an image", async (_, body, warnings = []) => {
    const sent = JSON.stringify({ ...small, steps: 2, ...body }).replaceAll("<red>", await red());
    const answer = await at.post(`/sdapi/v1/${"init_images" in body ? "img2img" : "txt2img"}`, sent);
    expect(answer.status).toBe(200);
    const generated = (await answer.json()) as Answer;
    expect((await sharp(Buffer.from(generated.images[0]!, "base64")).metadata()).format).toBe("png");
    expect(infoOf(generated).warnings).toEqual(warnings);
  });

  it.each([
    ["k_euler_a", undefined, "Euler a"],
    ["DPM++ 2M SGMUniform", undefined, "DPM++ 2M SGM Uniform"],
    ["DPM++ 2M", undefined, "DPM++ 2M Karras"],
    ["DPM++ 2M", "Uniform", "DPM++ 2M Uniform"],
    ["LMS", "automatic", "LMS"],
    ["", "karras", "Euler Karras"],
  ])("a client that samples by %s and %s reads that it is %s", async (sampler_name, scheduler, name) => {
    const answer = await at.post("/sdapi/v1/txt2img", { ...small, steps: 2, sampler_name, scheduler });
    expect(infoOf((await answer.json()) as Answer).sampler_name).toBe(name);
  });

  it("someone who counts seeds beyond 2^53 finds each digit in the answer", async () => {
    const body = { ...small, steps: 1, seed: "18446744073709551615", batch_size: 2 };
    const { info } = (await (await at.post("/sdapi/v1/txt2img", body)).json()) as Answer;
    expect(info).toContain('"seed":18446744073709551615,"all_seeds":[18446744073709551615,0],');
    expect(JSON.parse(info)).toMatchObject({ prompt: small.prompt, all_seeds: [2 ** 64, 0] });
    const [, seed] = /"seed":(\d+)/.exec(info)!;
    const again = await at.post(
      "/sdapi/v1/txt2img",
      JSON.stringify(body).replace(/"seed":"\d+"/, `"seed":${seed}`),
    );
    expect(((await again.json()) as Answer).info).toContain('"seed":18446744073709551615,');
    expect(await refused({ ...small, seed: 1.5 })).toBe("seed");
    expect(await refused({ ...small, seed: 1e30 })).toBe("seed");
  });

  it("someone who draws a mask on a transparent canvas changes what was drawn, or all but that", async () => {
    const half = (colour: string, background: string) =>
      sharp({ create: { width: 64, height: 64, channels: 4, background } })
        .composite([
          { input: { create: { width: 32, height: 64, channels: 4, background: colour } }, left: 0, top: 0 },
        ])
        .png()
        .toBuffer();
    const pixels = async (mask: Buffer, inverted?: number) => {
      const body = { ...small, ...{ init_images: [await red()], mask: mask.toString("base64"), steps: 4 } };
      const answer = await at.post("/sdapi/v1/img2img", { ...body, inpainting_mask_invert: inverted });
      const { images } = (await answer.json()) as Answer;
      return (await sharp(Buffer.from(images[0]!, "base64")).raw().toBuffer()).toString("hex");
    };
    const drawn = await pixels(await half("#fff", "#0000"));
    expect(drawn).toBe(await pixels(await half("#fff", "#000f")));
    const other = await pixels(await half("#fff", "#0000"), 1);
    expect(other).toBe(await pixels(await half("#000", "#ffff")));
    expect(other).not.toBe(drawn);
  });
});

describe("a job of this API", () => {
  it("has a progress with a preview, and gives what is finished when interrupted", async () => {
    const idle = await jsonOf(at.get("/sdapi/v1/progress"));
    expect(idle).toMatchObject({ progress: 0, state: { job_count: 0 }, current_image: null });
    for (const how of ["interrupt", "skip"]) {
      const answer = at.post("/sdapi/v1/txt2img", { ...small, steps: 150 });
      let now: { progress: number; current_image: string | null; state: Record<string, unknown> };
      do {
        await new Promise((resolve) => setTimeout(resolve, 5));
        now = await jsonOf(at.get("/sdapi/v1/progress"));
      } while (!now.current_image);
      expect(now.progress).toBeGreaterThan(0);
      expect(now.state).toMatchObject({ job_count: 1, sampling_steps: 150, interrupted: false });
      expect((await sharp(Buffer.from(now.current_image, "base64")).metadata()).format).toBe("jpeg");
      const light = await jsonOf(at.get("/sdapi/v1/progress?skip_current_image=true"));
      expect(light).toMatchObject({ current_image: null });
      await at.post(`/sdapi/v1/${how}`, {});
      expect(await jsonOf(answer)).toMatchObject({ images: [] });
      expect((await at.queue.list())[0]!.state).toBe("cancelled");
    }
  });

  it("cannot interrupt another API's", async () => {
    const busy = await at.busy();
    await at.post("/sdapi/v1/interrupt", {});
    expect((await at.queue.get(busy.id))!.state).toBe("running");
    await at.queue.cancel(busy.id);
  });

  it("is cancelled when its client hangs up", async () => {
    const controller = new AbortController();
    const { signal } = controller;
    const body = JSON.stringify({ ...small, steps: 150, seed: 99 });
    const headers = { "content-type": "application/json" };
    const call = fetch(`${server.url}/sdapi/v1/txt2img`, { method: "POST", body, headers, signal });
    const mine = async () => (await at.queue.list()).find(({ settings }) => settings.seed === "99");
    while ((await mine())?.state !== "running") await new Promise((resolve) => setTimeout(resolve, 5));
    controller.abort();
    await expect(call).rejects.toThrow();
    const states = [];
    for await (const event of at.queue.events((await mine())!.id))
      if (event.type === "state") states.push(event.job.state);
    expect(states.at(-1)).toBe("cancelled");
  });
});

describe("the server", () => {
  it("met no bug of its own", () => expect(at.errors).toEqual([]));
});
