/** @file A model's tensors under the original names of a single file, from Diffusers' names: the way back of `parts.ts`. */

import { ModelError } from "../../errors.js";
import { openClipName } from "../../models/infer-clip.js";
import { originalVaeName } from "../../models/ldm-vae.js";
import { sgmNames } from "../../models/sgm.js";
import type { UNetConfig } from "../../models/unet-config.js";
import { dtypeSizes } from "../../weights/dtype.js";
import type { OutgoingTensor } from "./tensors.js";

type Tensors = ReadonlyMap<string, OutgoingTensor>;

/** `model.diffusion_model.*` */
export function singleUnet(tensors: Tensors, config: UNetConfig): Map<string, OutgoingTensor> {
  const original = sgmNames(config);
  return new Map(
    [...tensors].map(([name, tensor]) => {
      const dot = name.lastIndexOf(".");
      return [`model.diffusion_model.${original(name.slice(0, dot))}${name.slice(dot)}`, tensor];
    }),
  );
}

/** `first_stage_model.*`; its attention's matrices are 1x1 convolutions there. */
export function singleVae(tensors: Tensors): Map<string, OutgoingTensor> {
  const stages = new Set(
    [...tensors.keys()].flatMap((name) => /^decoder\.up_blocks\.(\d+)\./.exec(name)?.[1] ?? []),
  ).size;
  return new Map(
    [...tensors].map(([name, tensor]) => {
      const isMatrix = name.includes(".attentions.") && tensor.shape.length === 2;
      const shape = isMatrix ? [...tensor.shape, 1, 1] : tensor.shape;
      return [`first_stage_model.${originalVaeName(name, stages)}`, { ...tensor, shape }];
    }),
  );
}

/** A text encoder in Hugging Face's names below a prefix, or in open_clip's with the rows of its attentions fused. */
export function singleClip(
  tensors: Tensors,
  { prefix, openClip }: { prefix: string; openClip: boolean },
): Map<string, OutgoingTensor> {
  if (!openClip) return new Map([...tensors].map(([name, tensor]) => [prefix + name, tensor]));
  const built = new Map<string, OutgoingTensor>();
  const thirds = new Map<string, OutgoingTensor[]>();
  for (const [name, tensor] of tensors) {
    const target = openClipName(name);
    if (!target) throw new ModelError(name, "must be a tensor of CLIP's text encoder.");
    const at = prefix + target.name;
    if (target.third === undefined) built.set(at, target.transposed ? exchanged(tensor) : tensor);
    else thirds.set(at, Object.assign([...(thirds.get(at) ?? [])], { [target.third]: tensor }));
  }
  for (const [name, parts] of thirds) built.set(name, stacked(parts));
  return built;
}

function stacked(parts: readonly OutgoingTensor[]): OutgoingTensor {
  const [first] = parts as [OutgoingTensor];
  const { dtype } = first;
  const shape = [parts.length * first.shape[0]!, ...first.shape.slice(1)];
  return {
    dtype,
    shape,
    read: async () => Buffer.concat(await Promise.all(parts.map(({ read }) => read()))),
  };
}

function exchanged({ dtype, shape: [rows, columns], read }: OutgoingTensor): OutgoingTensor {
  const size = dtypeSizes[dtype];
  return {
    dtype,
    shape: [columns!, rows!],
    read: async () => {
      const [from, to] = [await read(), new Uint8Array(rows! * columns! * size)];
      for (let i = 0; i < rows!; i++)
        for (let j = 0; j < columns!; j++) {
          const at = (i * columns! + j) * size;
          to.set(from.subarray(at, at + size), (j * rows! + i) * size);
        }
      return to;
    },
  };
}
