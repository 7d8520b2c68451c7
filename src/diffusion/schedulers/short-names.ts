/** @file The table of short names of schedulers. Apart from the schedulers themselves, so that the page can have it alone. */

export type SchedulerChoice = { className: string; overrides: Readonly<Record<string, unknown>> };

const karras = { use_karras_sigmas: true };
const sde = { algorithm_type: "sde-dpmsolver++" };

/** Short names as k-diffusion, A1111 and ComfyUI users write them. */
export const shortNames: Readonly<Record<string, SchedulerChoice>> = {
  euler: { className: "EulerDiscreteScheduler", overrides: {} },
  "euler-a": { className: "EulerAncestralDiscreteScheduler", overrides: {} },
  "euler-karras": { className: "EulerDiscreteScheduler", overrides: karras },
  heun: { className: "HeunDiscreteScheduler", overrides: {} },
  "dpmpp-2m": { className: "DPMSolverMultistepScheduler", overrides: {} },
  "dpmpp-2m-karras": { className: "DPMSolverMultistepScheduler", overrides: karras },
  "dpmpp-2m-sde": { className: "DPMSolverMultistepScheduler", overrides: sde },
  "dpmpp-2m-sde-karras": { className: "DPMSolverMultistepScheduler", overrides: { ...sde, ...karras } },
  "dpmpp-2s": { className: "DPMSolverSinglestepScheduler", overrides: {} },
  dpm2: { className: "KDPM2DiscreteScheduler", overrides: {} },
  "dpm2-a": { className: "KDPM2AncestralDiscreteScheduler", overrides: {} },
  unipc: { className: "UniPCMultistepScheduler", overrides: {} },
  deis: { className: "DEISMultistepScheduler", overrides: {} },
  ddim: { className: "DDIMScheduler", overrides: {} },
  ddpm: { className: "DDPMScheduler", overrides: {} },
  pndm: { className: "PNDMScheduler", overrides: {} },
  lms: { className: "LMSDiscreteScheduler", overrides: {} },
  lcm: { className: "LCMScheduler", overrides: {} },
  tcd: { className: "TCDScheduler", overrides: {} },
};

/** The short name that comes closest to a scheduler as an image records it (camelCase or as in a config), if one does. */
export function shortNameOf(
  className: string,
  config: Readonly<Record<string, unknown>>,
): string | undefined {
  const said = (key: string) =>
    config[key] ?? config[key.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase())];
  const planMemory = Object.entries(shortNames).filter(
    ([, choice]) =>
      choice.className === className &&
      Object.entries(choice.overrides).every(([key, value]) => said(key) === value),
  );
  const told = ([, choice]: (typeof planMemory)[number]) => Object.keys(choice.overrides).length;
  return planMemory.sort((a, b) => told(b) - told(a))[0]?.[0];
}
