/** @file The teacher's tensor that each of the student's tensors is initialised with (KOALA, section 4.1; BK-SDM's mapping). */

import { traceUnet } from "../models/trace.js";
import type { UNetConfig } from "../models/unet-config.js";
import { manifest, type Params } from "../tensor/params.js";
import { type Shape, sameShape } from "../tensor/tensor.js";
import { type LayerRule, type StagePair, stagePairs, teacherLayer } from "./layer-mapping.js";

/** Every weight of a U-Net with its shape, in the order in which it is used. */
export const unetWeights = (config: UNetConfig): Map<string, Shape> => manifest(unetNetwork(config));

/** A U-Net for who asks for its weights alone: traced at a small size. */
export const unetNetwork = (config: UNetConfig) => (p: Params) =>
  traceUnet(p, config, { height: 16, width: 16 });

/**
 * The teacher tensor of each student tensor: the encoder's of the same name, the decoder's from the first and
 * the last block, the transformer layers by `layers`. Undefined: no tensor of the teacher belongs there or
 * has its shape, so it has to begin as random numbers.
 */
export function initialisation(
  student: UNetConfig,
  teacher: UNetConfig,
  { layers = "bottom" }: { layers?: LayerRule } = {},
): Map<string, string | undefined> {
  const teacherWeights = unetWeights(teacher);
  const stages = stagePairs(student, teacher);
  const rows = [...unetWeights(student)].map(([name, shape]): [string, string | undefined] => {
    const source = teacherName(name, stages, layers);
    const found = source === undefined ? undefined : teacherWeights.get(source);
    return [name, found && sameShape(found, shape) ? source : undefined];
  });
  return new Map(rows);
}

function teacherName(name: string, stages: readonly StagePair[], rule: LayerRule): string | undefined {
  const stage = stages.find(({ path }) => name.startsWith(`${path}.`));
  const matched = stage && /^(resnets|attentions)\.(\d+)\.(.+)$/.exec(name.slice(stage.path.length + 1));
  if (!matched) return name;
  const [, kind, block, rest] = matched as unknown as [string, string, string, string];
  const teacherBlock = stage.blocks[Number(block)];
  if (teacherBlock === undefined) return undefined;
  const layer = /^transformer_blocks\.(\d+)\.(.+)$/.exec(rest);
  if (!layer) return `${stage.path}.${kind}.${teacherBlock}.${rest}`;
  const depths = {
    student: stage.student.depths?.[Number(block)] ?? 0,
    teacher: stage.teacher?.depths?.[teacherBlock] ?? 0,
  };
  const k = teacherLayer(rule, Number(layer[1]), depths);
  return k === undefined
    ? undefined
    : `${stage.path}.${kind}.${teacherBlock}.transformer_blocks.${k}.${layer[2]}`;
}
