/** @file Golden images asked for through AUTOMATIC1111's API: embeddings by name, and weights with each emphasis. */

import { expect, it } from "vitest";
import { goldenRun } from "../../golden-run.js";
import { stage } from "../../serving.js";

it.each<[run: string, settings: object]>([
  ["koala-1b-tiny/ti-both-eos-pooled", {}],
  ["koala-1b-tiny/a1111-weights", { emphasis: "Original" }],
  ["sdxl-tiny/a1111-no-norm", { emphasis: "No norm" }],
])("%s comes out of /sdapi within one level", async (run, override_settings) => {
  const { model, embeddings, body, levelsApart } = goldenRun(run);
  const at = await stage({ model, embeddings });
  const answer = await at.post("/sdapi/v1/txt2img", { ...body, override_settings });
  const generated = (await answer.json()) as { info: string };
  await at.close();
  expect(JSON.parse(generated.info).warnings).toEqual([]);
  expect(await levelsApart(generated)).toBeLessThanOrEqual(1);
});
