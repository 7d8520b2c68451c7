/**
 * @file Training of the text encoders before any image: to classify nouns, styles and backgrounds of captions, as SDXL's
 * were trained on language before its U-Net was. Without it the U-Net's training needs thousands of steps to separate
 * one noun from another.
 */

import path from "node:path";
import { longs, type Values } from "../src/engine/engine.js";
import { blockingEngine } from "../src/engine/ort/blocking-engine.js";
import { type ClipConfig, clipText } from "../src/models/clip.js";
import { linear } from "../src/nn.js";
import { loadComponents } from "../src/pipeline/components.js";
import { add, concat, input, mean, reshape, softmax } from "../src/tensor/operations.js";
import { Params, tracing } from "../src/tensor/params.js";
import type { Tensor } from "../src/tensor/tensor.js";
import type { ClipTokenizer } from "../src/text/tokenizer.js";
import { below, seeded } from "../src/train/data/seeded.js";
import { componentWeights } from "../src/train/finetuning-task.js";
import type { TracedLoss } from "../src/train/gradient-program.js";
import { trainingOptions } from "../src/train/options.js";
import { train } from "../src/train/trainer.js";
import { openSafetensors, writeSafetensors } from "../src/weights/safetensors-file.js";
import { classifierTask, printLoss } from "./classifier.js";
import { backgroundNames, caption } from "./data/captions.js";
import type { Data } from "./data/dataset.js";
import { styles } from "./data/emoji.js";
import { pairOf } from "./data/nouns.js";
import { type Classes, classesOf, crossEntropy, labels, targetInputs, targetValues } from "./labels.js";

const encoders = ["text_encoder", "text_encoder_2"];
const batchSize = 64;

/** Trains the text encoders of `model`, in place; the run lies in `folder`. */
export async function trainTextEncoders(
  data: Data,
  model: string,
  folder: string,
  steps: number,
): Promise<void> {
  const engine = blockingEngine();
  const { textEncoders } = await loadComponents(model, { engine });
  const classes = classesOf(data);
  const loss = textLoss(
    textEncoders.map(({ config }) => config),
    classes,
    batchSize,
  );
  const fileOf = (name: string) => path.join(model, name, "model.safetensors");
  const task = await classifierTask(engine, {
    network: "text encoders",
    batchSize,
    loss,
    inputsOf: (batch) => inputsOf(data, textEncoders[0]!.tokenizer, classes, batch),
    initialise: async (layout, weights) => {
      for (const name of encoders) {
        const file = await openSafetensors(fileOf(name));
        for (const key of componentWeights(layout, weights, name).keys())
          layout.view(weights, `${name}.${key}`).set(await file.readFloats(key));
      }
    },
    save: async (layout, weights) => {
      for (const name of encoders) {
        const tensors = [...componentWeights(layout, weights, name)].map(
          ([key, t]) => [key, { dtype: "F32" as const, ...t }] as const,
        );
        await writeSafetensors(fileOf(name), new Map(tensors));
      }
    },
  });
  const options = trainingOptions({
    trainBatchSize: batchSize,
    maxTrainSteps: steps,
    learningRate: 1e-3,
    lrScheduler: "cosine",
    lrWarmupSteps: 20,
    checkpointingSteps: steps,
  });
  await train(task, { folder, options, resume: false, onEvent: printLoss });
}

/**
 * The sum of the cross-entropies of each label, predicted from the mean of the hidden states that the U-Net attends to, and
 * from the pooled embedding alone.
 */
function textLoss(configs: readonly ClipConfig[], classes: Classes, batch: number): TracedLoss {
  const params = new Map<string, Tensor>();
  const root = new Params(tracing(params));
  const ids = input("ids", [batch, configs[0]!.maxTokens], "int64");
  const encoded = configs.map((c, i) => clipText(root.at(encoders[i]!), c, ids));
  const states = concat(
    encoded.map(({ hidden }, i) => reshape(mean(hidden.at(-2)!, [1]), [batch, configs[i]!.width])),
    1,
  );
  const seen = { states, pooled: encoded.at(-1)!.textEmbeds! };
  const targets = targetInputs(classes, batch);
  const losses = Object.entries(seen).flatMap(([from, features]) =>
    labels.map((label) => {
      const given = softmax(linear(root.at("heads", from, label), features, classes[label]));
      return [`${from}_${label}`, crossEntropy(targets[label], given)] as const;
    }),
  );
  const total = losses.map(([, loss]) => loss).reduce((a, b) => add(a, b));
  return { params, outputs: { total, ...Object.fromEntries(losses) } };
}

/** Captions of pairs that are not held out, in equal shares. */
function inputsOf(
  { nouns, held }: Data,
  tokenizer: ClipTokenizer,
  classes: Classes,
  batch: number,
): Record<string, Values> {
  const draw = seeded(0, "text", batch);
  const drawn = Array.from({ length: batchSize }, () => {
    for (;;) {
      const [noun, style] = [below(nouns.length, draw), below(styles.length, draw)];
      if (held.has(pairOf(nouns[noun]!.name, styles[style]!))) continue;
      const background = below(backgroundNames.length, draw);
      const text = caption(nouns[noun]!, styles[style]!, backgroundNames[background]!, draw);
      return { noun, style, background, ids: tokenizer.encode(text).ids };
    }
  });
  const ids = drawn.flatMap((d) => [...d.ids]);
  return { ids: longs(ids, batchSize, ids.length / batchSize), ...targetValues(drawn, classes) };
}
