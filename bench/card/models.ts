/**
 * @file The rows of KOALA's model card, with the seconds that it prints: of the U-Net alone (the paper's Table 2) and of
 * whole images (the charts of the paper's first and last version), all of one RTX 4090 in float16 with PyTorch 2.1.
 */

/** A model as `bench/make-model.ts` names it, and the side of its images in pixels. */
export type Model = { name: string; title: string; pixels: number; family: "sd" | "sdxl" };

export const models = [
  { name: "sd2", title: "SDM-v2.0", pixels: 768, family: "sd" },
  { name: "sdxl", title: "SDXL-Base", pixels: 1024, family: "sdxl" },
  { name: "koala-1b", title: "KOALA-1B", pixels: 1024, family: "sdxl" },
  { name: "koala-700m", title: "KOALA-700M", pixels: 1024, family: "sdxl" },
] as const satisfies readonly Model[];

export type ModelName = (typeof models)[number]["name"];

/** `unet` and `image` are the card's seconds; `against` is the SDXL of the chart that `image` is from. */
export type Row = {
  model: ModelName;
  title: string;
  steps: number;
  card: { unet?: number; image: number; against: number };
};

/** Guided: each step is one call of the U-Net on two rows. Lightning is the same networks with fewer steps. */
export const cardRows: readonly Row[] = [
  { model: "sd2", title: "SDM-v2.0", steps: 25, card: { unet: 1.131, image: 1.26, against: 3.3 } },
  { model: "sdxl", title: "SDXL-Base", steps: 25, card: { unet: 3.133, image: 3.3, against: 3.3 } },
  { model: "koala-1b", title: "KOALA-1B", steps: 25, card: { unet: 1.604, image: 1.77, against: 3.3 } },
  { model: "koala-700m", title: "KOALA-700M", steps: 25, card: { unet: 1.257, image: 1.42, against: 3.3 } },
  { model: "koala-1b", title: "KOALA-Lightning-1B", steps: 10, card: { image: 0.79, against: 3.23 } },
  { model: "koala-700m", title: "KOALA-Lightning-700M", steps: 10, card: { image: 0.66, against: 3.23 } },
];

export const modelNamed = (name: ModelName): Model => models.find((model) => model.name === name)!;
