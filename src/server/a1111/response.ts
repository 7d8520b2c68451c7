/** @file AUTOMATIC1111's response of a finished job: images in base64, and `info` as JSON in a string. */

import { readTexts } from "../../image/metadata/metadata.js";
import type { ModelRegistry } from "../../jobs/model-registry.js";
import { type JobQueue, type JobStatus, jobWarnings } from "../../jobs/queue.js";
import { imageFile } from "../service.js";
import type { Txt2img } from "./schemas.js";

export async function a1111Response(job: JobStatus, queue: JobQueue, body: Txt2img, models: ModelRegistry) {
  const files = await Promise.all(
    job.images.map(async ({ index }) => (await imageFile(queue, job.id, index)).bytes),
  );
  const infotexts = await Promise.all(files.map(async (file) => (await readTexts(file)).parameters ?? ""));
  const images = body.send_images === false ? [] : files.map((file) => Buffer.from(file).toString("base64"));
  const { init_images: _, mask: __, ...echo } = body;
  const parameters = body.include_init_images ? body : echo;
  return { images, parameters, info: infoOf(job, infotexts, models) };
}

/** JSON with seeds in full: JavaScript's numbers have 53 bits. */
function infoOf(job: JobStatus, infotexts: readonly string[], models: ModelRegistry): string {
  const { seed } = job.settings;
  const seeds = `[${job.images.map((image) => image.seed).join()}]`;
  const rest = JSON.stringify(describedJob(job, infotexts, models)).slice(1);
  return `{"seed":${seed},"all_seeds":${seeds},"subseed":${seed},"all_subseeds":${seeds},${rest}`;
}

function describedJob(
  { settings, images, createdAt, warnings }: JobStatus,
  infotexts: readonly string[],
  models: ModelRegistry,
) {
  const { prompt, negativePrompt = "", width, height, steps, guidanceScale, scheduler, strength } = settings;
  return {
    prompt,
    all_prompts: images.map(() => prompt),
    negative_prompt: negativePrompt,
    all_negative_prompts: images.map(() => negativePrompt),
    subseed_strength: 0,
    width,
    height,
    sampler_name: scheduler,
    cfg_scale: guidanceScale,
    steps,
    batch_size: images.length,
    restore_faces: false,
    face_restoration_model: null,
    sd_model_name: models.get(settings.model)?.info.name ?? settings.model,
    sd_model_hash: null,
    sd_vae_name: null,
    sd_vae_hash: null,
    seed_resize_from_w: -1,
    seed_resize_from_h: -1,
    denoising_strength: strength ?? null,
    extra_generation_params: {},
    index_of_first_image: 0,
    infotexts,
    styles: [],
    job_timestamp: timestamp(createdAt),
    clip_skip: (settings.clipSkip ?? 0) + 1,
    is_using_inpainting_conditioning: false,
    warnings: jobWarnings({ warnings, images }),
  };
}

/** "20261125034512" */
export const timestamp = (ms: number): string => new Date(ms).toISOString().replace(/\D/g, "").slice(0, 14);
