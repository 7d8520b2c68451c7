/** @file OpenAI's server-sent events: partial images from previews, then the finished ones. */

import type { Context } from "hono";
import { streamSSE } from "hono/streaming";
import sharp from "sharp";
import { type JobEvent, type JobStatus, jobWarnings } from "../../jobs/queue.js";
import { problemOf } from "../problem.js";
import { imageFile, type Service } from "../service.js";
import { openaiProblem } from "./problem.js";
import { noUsage } from "./schemas.js";

type Streamed = Pick<Service, "queue" | "clients" | "onError"> & {
  job: JobStatus;
  partials: number;
  /** "image_generation" or "image_edit", with which the events' names begin. */
  kind: string;
};

/** Answers with the events of a job that was just submitted. */
export function streamJob(c: Context, streamed: Streamed): Response {
  const { queue, clients, onError, job, kind } = streamed;
  c.header("x-accel-buffering", "no"); // nginx would hold events back
  return streamSSE(c, async (stream) => {
    const controller = new AbortController();
    stream.onAbort(() => controller.abort());
    const send = (event: string, data: object) =>
      stream.writeSSE({ event, data: JSON.stringify({ type: event, ...data }) });
    const due = partialsDue(streamed);
    try {
      await clients.outcome(job, controller.signal, async (event) => {
        const number = due(event);
        if (event.type === "preview" && number !== undefined) {
          const partial = { ...(await enlarged(event.bytes, job)), partial_image_index: number };
          await send(`${kind}.partial_image`, { ...described(job), ...partial });
        }
        if (event.type === "image") {
          const { index, seed } = event.image;
          const { bytes } = await imageFile(queue, job.id, index);
          const warnings = jobWarnings({ warnings: job.warnings, images: [event.image] });
          const whole = { b64_json: Buffer.from(bytes).toString("base64"), seed, warnings, usage: noUsage };
          await send(`${kind}.completed`, { ...described(job), ...whole });
        }
      });
    } catch (error) {
      if (controller.signal.aborted) return;
      const problem = problemOf(error);
      if (problem.bug !== undefined) onError(problem.bug);
      await stream.writeSSE({ event: "error", data: JSON.stringify(openaiProblem(problem).body) });
    }
  });
}

const described = ({ settings: { width, height, outputFormat } }: JobStatus) => ({
  created_at: Math.floor(Date.now() / 1000),
  size: `${width}x${height}`,
  quality: "auto",
  background: "opaque",
  output_format: outputFormat,
});

/** Which partial image a preview is to be sent as, if any: they are spread evenly over the steps. */
function partialsDue({ partials, job }: Streamed): (event: JobEvent) => number | undefined {
  const { count, steps } = job.settings;
  const shown = new Map<number, { steps: number; sent: number }>();
  let total = steps;
  return (event) => {
    if (event.type === "step") total = event.total / count;
    if (event.type !== "preview") return undefined;
    const seen = shown.get(event.index) ?? { steps: 0, sent: 0 };
    shown.set(event.index, seen);
    seen.steps++;
    const due = Math.ceil((total * (seen.sent + 1)) / (partials + 1));
    return seen.sent < partials && seen.steps >= due ? seen.sent++ : undefined;
  };
}

/** A preview has a pixel per latent; clients expect the size of their request. */
async function enlarged(bytes: Uint8Array, { settings }: JobStatus): Promise<{ b64_json: string }> {
  const { width, height, outputFormat } = settings;
  const file = await sharp(bytes)
    .resize(width, height, { fit: "fill", kernel: "cubic" })
    .toFormat(outputFormat)
    .toBuffer();
  return { b64_json: file.toString("base64") };
}
