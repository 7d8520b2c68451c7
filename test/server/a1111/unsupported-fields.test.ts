/** @file Fields of AUTOMATIC1111's API without a counterpart here: refused where they would have an effect, else accepted. */

import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { pipelines, type Stage, stage, tinyLora } from "../../serving.js";

let at: Stage;
beforeAll(async () => {
  at = await stage({ loras: [{ name: "bicycles", ...tinyLora }] });
});
afterAll(() => at.close());

const small = { prompt: "a red bicycle", width: 64, height: 64, seed: 7 };
const image = () => sharp({ create: { width: 64, height: 64, channels: 3, background: "#c33" } }).png();
const red = async () => (await image().toBuffer()).toString("base64");

/** The message that a refusal gives with its status. */
async function refused(body: object, path = "txt2img"): Promise<string> {
  const answer = await at.post(`/sdapi/v1/${path}`, body);
  expect(answer.status).toBe(422);
  const { detail } = (await answer.json()) as { detail: { loc: string[]; msg: string }[] };
  expect(detail[0]!.msg.startsWith(`${detail[0]!.loc[1]}: `)).toBe(true);
  return detail[0]!.loc[1]!;
}

type Answer = { images: string[]; info: string };

describe("a field that this server has nothing for", () => {
  it("is refused by name where it would have an effect", async () => {
    expect(await refused({ ...small, tiling: true })).toBe("tiling");
    expect(await refused({ ...small, enable_hr: true })).toBe("enable_hr");
    expect(await refused({ ...small, styles: ["anime"] })).toBe("styles");
    expect(await refused({ ...small, subseed_strength: 0.3 })).toBe("subseed_strength");
    expect(await refused({ ...small, script_name: "x/y/z plot" })).toBe("script_name");
    for (const [sampler_name, eta] of [
      ["Euler a", 0],
      ["DPM++ 2M SDE", 0],
      ["DDIM", 1],
      ["DDIM", 0.5],
    ] as const)
      expect(await refused({ ...small, sampler_name, eta })).toBe("eta");
    for (const sampler_name of ["Euler a", "k_euler_a", "DPM++ 2M SDE Karras"])
      expect(await refused({ ...small, sampler_name, eta: 0 })).toBe("eta");
    expect(await refused({ ...small, sampler_index: "DDIM", eta: 1 })).toBe("eta");
    expect(await refused({ ...small, override_settings: { eta_noise_seed_delta: 31337 } })).toBe(
      "override_settings.eta_noise_seed_delta",
    );
    expect(await refused({ eta_noise_seed_delta: 31337 }, "options")).toBe("eta_noise_seed_delta");
    const init_images = [await red()];
    expect(await refused({ ...small, init_images, resize_mode: 1 }, "img2img")).toBe("resize_mode");
  });

  const controlnet = (...args: object[]) => ({ controlnet: { args } });
  it.each<[string, object, string?]>([
    ["a unit that is off", controlnet({ enabled: false, module: "none" }, { enabled: false })],
    ["a unit that is on", controlnet({ enabled: false }, { enabled: true }), "controlnet"],
    ["a unit that does not say", { ControlNet: { args: [{}] } }, "ControlNet"],
    ["ADetailer that is off", { ADetailer: { args: [false, { ad_model: "face_yolov8n.pt" }] } }],
    ["ADetailer without a detector", { ADetailer: { args: [{ ad_model: "None" }] } }],
    ["ADetailer that is on", { ADetailer: { args: [true, { ad_model: "face_yolov8n.pt" }] } }, "ADetailer"],
    ["ADetailer that does not say", { ADetailer: { args: [true] } }, "ADetailer"],
    ["another that is off", { "Dynamic Prompts v2.17.1": { args: [false, true] }, ReActor: [null, false] }],
    ["an unknown one", { Mystery: { args: [false] } }, "Mystery"],
    ["no list of them", "all" as unknown as object, ""],
  ])("of a script, %s", async (_, alwayson_scripts, name) => {
    const body = { ...small, steps: 1, alwayson_scripts };
    if (name === undefined) expect((await at.post("/sdapi/v1/txt2img", body)).status).toBe(200);
    else expect(await refused(body)).toBe(name === "" ? "alwayson_scripts" : `alwayson_scripts.${name}`);
  });

  it("is accepted where it would have none", async () => {
    const answer = await at.post("/sdapi/v1/txt2img", {
      ...{ ...small, steps: 1, seed: -1, sampler_index: "Heun", scheduler: "karras", eta: 0.4 },
      ...{
        hr_scale: 4,
        hr_upscaler: "Latent",
        subseed: 5,
        restore_faces: null,
        firstphase_width: 0,
        s_noise: 1,
      },
      ...{
        alwayson_scripts: { ControlNet: { args: [] } },
        script_args: [],
        mask_blur: 12,
        some_extension: true,
      },
      override_settings: {
        sd_model_checkpoint: "koala-1b-tiny",
        CLIP_stop_at_last_layers: 2,
        samples_format: "webp",
      },
    });
    const { images, info } = (await answer.json()) as { images: string[]; info: string };
    expect((await sharp(Buffer.from(images[0]!, "base64")).metadata()).format).toBe("webp");
    expect(JSON.parse(info)).toMatchObject({ clip_skip: 2, sampler_name: "Heun Karras" });
  });

  it("is warned of where later requests would take other options", async () => {
    const override = { override_settings: { CLIP_stop_at_last_layers: 2 } };
    const warningsWith = async (body: object) => {
      const answer = await at.post("/sdapi/v1/txt2img", { ...small, steps: 1, ...body });
      return (JSON.parse(((await answer.json()) as Answer).info) as { warnings: string[] }).warnings;
    };
    expect(await warningsWith({ ...override, override_settings_restore_afterwards: false })).toEqual([
      "override_settings_restore_afterwards: has no effect here: override_settings are of this request alone, got false",
    ]);
    expect(await warningsWith({ ...override, override_settings_restore_afterwards: true })).toEqual([]);
    expect(await warningsWith({ override_settings_restore_afterwards: false })).toEqual([]);
  });

  it("is accepted where text says that it is off", async () => {
    const off = { enable_hr: "false", restore_faces: "False", tiling: "0", s_churn: "0", s_tmax: 5 };
    const settings = { ...off, send_images: "no", override_settings: { CLIP_stop_at_last_layers: "2" } };
    const answer = await at.post("/sdapi/v1/txt2img", { ...small, steps: 1, ...settings });
    const { images, info } = (await answer.json()) as Answer;
    expect([images, JSON.parse(info).clip_skip]).toEqual([[], 2]);
    expect(await refused({ ...small, enable_hr: "True" })).toBe("enable_hr");
    expect((await at.post("/sdapi/v1/options", { CLIP_stop_at_last_layers: "2" })).status).toBe(200);
    expect((await at.post("/sdapi/v1/options", { CLIP_stop_at_last_layers: 1 })).status).toBe(200);
  });

  it("is refused by the model's own sampler where none is named", async () => {
    const ddim = await stage({ model: `${pipelines}/sd2-tiny` });
    const post = async (eta: number) =>
      (await ddim.post("/sdapi/v1/txt2img", { ...small, steps: 1, eta })).status;
    expect([await post(1), await post(0)]).toEqual([422, 200]);
    await ddim.close();
    expect((await at.post("/sdapi/v1/txt2img", { ...small, steps: 1, eta: 1 })).status).toBe(200);
  });

  it("is accepted at a sampler's own default of it", async () => {
    for (const [sampler_name, eta] of [
      ["Euler a", 1],
      ["DPM++ 2M SDE", 1],
      ["DDIM", 0],
    ] as const)
      expect((await at.post("/sdapi/v1/txt2img", { ...small, steps: 1, sampler_name, eta })).status).toBe(
        200,
      );
  });

  it("is named as this API names it when its value is wrong", async () => {
    expect(await refused({ ...small, sampler_name: "Ewler" })).toBe("sampler_name");
    expect(await refused({ ...small, scheduler: "Kerras" })).toBe("scheduler");
    expect(await refused({ ...small, cfg_scale: "seven" })).toBe("cfg_scale");
    expect(await refused({ ...small, steps: "4.5" })).toBe("steps");
    expect(await refused({ ...small, n_iter: 9, batch_size: 9 })).toBe("batch_size");
    expect(await refused({ ...small, init_images: ["http://127.0.0.1/"] }, "img2img")).toBe("init_images");
  });

  it("met no bug of the server's", () => expect(at.errors).toEqual([]));
});
