/** @file The layout of schedulers.json. */

import { z } from "zod";

const fields = z.record(z.string(), z.unknown());
const numbers = z.array(z.number());
/** Where Diffusers computes no number, the table says "nan". */
const timesteps = z.array(z.union([z.number(), z.literal("nan").transform(() => Number.NaN)]));

const betasSchema = z
  .object({ at: z.array(z.int()), betas: numbers, alphas_cumprod: numbers, final_alpha_cumprod: z.number() })
  .catchall(z.unknown())
  .transform(({ at, betas, alphas_cumprod, final_alpha_cumprod, ...config }) => ({
    at,
    config,
    expected: { betas, alphas_cumprod, final_alpha_cumprod: [final_alpha_cumprod] },
  }));

const made = { scheduler: z.string(), config: fields };
const schedule = {
  timesteps: timesteps.optional(),
  init_noise_sigma: z.number().optional(),
  /** Diffusers refuses; there is nothing else then. */
  error: z.string().optional(),
};
const computedOrRefused = (row: { error?: string | undefined; timesteps?: number[] | undefined }) =>
  row.error !== undefined || row.timesteps !== undefined;

const tableSchema = z
  .object({
    ...made,
    call: fields,
    ...schedule,
    sigmas: numbers.optional(),
    scale_model_input: numbers.optional(),
  })
  .refine(computedOrRefused);

const trajectorySchema = z
  .object({
    ...made,
    id: z.string(),
    num_inference_steps: z.int(),
    step: fields,
    generator_seed: z.string().optional(),
    ...schedule,
    not_finite: z.boolean().optional(),
  })
  .refine(computedOrRefused);

const noisingSchema = z.object({
  ...made,
  id: z.string(),
  num_inference_steps: z.int(),
  timestep: z.number(),
});

export const schema = z.object({
  betas: z.array(betasSchema).default([]),
  tables: z.array(tableSchema).default([]),
  trajectories: z.array(trajectorySchema).default([]),
  add_noise: z.array(noisingSchema).default([]),
});

export type Betas = z.infer<typeof betasSchema>;
export type Table = z.infer<typeof tableSchema> & { id: string };
export type Trajectory = z.infer<typeof trajectorySchema>;
export type Noising = z.infer<typeof noisingSchema>;

/** An entry in the report: its id, config and call. */
export function describe(entry: {
  id: string;
  config?: unknown;
  call?: unknown;
  num_inference_steps?: number;
}): string {
  const { id, config, call, num_inference_steps: steps } = entry;
  return `${id} ${JSON.stringify({ ...(config as object), ...(call as object), ...(steps && { steps }) })}`;
}
