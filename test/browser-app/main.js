/** @file An application in a browser, on its page or in a Worker, that generates images by the library. */

import {
  DiffusionPipeline,
  downloadedModels,
  EulerDiscreteScheduler,
  removeDownloadedModel,
} from "koala-diffusion";

const loading = { threads: 1, onnxRuntimeFolder: "/ort" };

/**
 * The first image of a request, with what `browser-app.ts` says; options are those of loading. Calls the page's `onStep`
 * after each step.
 */
globalThis.generate = async (model, request, { euler, ...options } = {}) => {
  await using pipeline = await DiffusionPipeline.fromPretrained(model, { ...loading, ...options });
  if (euler) pipeline.scheduler = EulerDiscreteScheduler.fromConfig(pipeline.scheduler.config, euler);
  const onStep = () => globalThis.onStep?.();
  const { images, latents, warnings } = await pipeline.generate({ ...request, onStep });
  const { width, height, data } = images[0];
  const { device, deviceReason: reason } = pipeline;
  const png = [...(await images[0].encode("png"))];
  return { width, height, data: [...data], latents: [...latents], png, warnings, device, reason };
};
/** The median time of a step in ms, by a pipeline that is kept for the next call; the first step is not counted. */
let kept;
globalThis.timeSteps = async (model, request, options) => {
  kept ??= await DiffusionPipeline.fromPretrained(model, { ...loading, ...options });
  const times = [];
  let last;
  await kept.generate({
    ...request,
    onStep: () => {
      if (last !== undefined) times.push(performance.now() - last);
      last = performance.now();
    },
  });
  return times.sort((a, b) => a - b)[times.length >> 1];
};
/** Opens a model: what was asked before its download, and its bytes as they were reported; `agrees` to the download. */
globalThis.open = async (model, { agrees = true, ...options }) => {
  const [asked, progress] = [[], []];
  const onProgress = ({ done, total }) => progress.push([done, total]);
  const confirmDownload = (download) => asked.push(download) > 0 && agrees;
  const own = { ...loading, onProgress, confirmDownload };
  const pipeline = await DiffusionPipeline.fromPretrained(model, { ...own, ...options });
  await pipeline.close();
  return { asked, progress };
};
Object.assign(globalThis, { downloadedModels, removeDownloadedModel });
// A Worker runs this module, too.
globalThis.document?.body.append("ready");
