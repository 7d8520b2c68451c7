/** @file The frozen teacher of a distillation: its results for a batch, computed or read from disk. */

import type { Engine } from "../engine/engine.js";
import { floats, type Session, type Values } from "../engine/engine.js";
import type { Program } from "../engine/lower.js";
import { workerEngine } from "../engine/ort/worker-engine.js";
import { unetConfig } from "../models/unet-config.js";
import { componentProgram } from "../pipeline/component.js";
import type { Position } from "./data/buckets.js";
import { parallelRun } from "./data-parallel.js";
import { type DistillationBatch, type DistillationSetup, drawBatch, pairsOf } from "./distillation-batch.js";
import { teacherFeature, teacherOut, teacherTrace } from "./step.js";
import { solve } from "./step-distillation/solver.js";
import type { TeacherStore } from "./teacher-store.js";

/** Name of the sample at the end of the teacher's steps, among its results. */
export const reached = "reached";

export class Teacher {
  readonly #setup: DistillationSetup;
  readonly #stored: TeacherStore | undefined;
  /** Names of the results that the losses compare with. */
  readonly #compared: readonly string[];
  #network: Promise<Session> | undefined;

  /** `stored` has its results in place of the network. */
  constructor(setup: DistillationSetup, stored?: TeacherStore) {
    this.#setup = setup;
    this.#stored = stored;
    const { loss } = setup.options;
    this.#compared = [
      ...(loss.out > 0 ? [teacherOut] : []),
      ...new Set(pairsOf(setup).map((pair) => teacherFeature(pair.teacher))),
      ...(setup.steps ? [reached] : []),
    ];
  }

  /** What the losses compare with, of batch number `batch`; read from disk or computed. */
  async results(batch: number, drawn: DistillationBatch): Promise<Record<string, Values>> {
    if (this.#compared.length === 0) return {};
    return this.#stored ? this.#stored.read(batch, given(drawn), this.#compared) : this.compute(drawn);
  }

  /** All results of a batch. */
  async compute({ inputs, steps }: DistillationBatch): Promise<Record<string, Values>> {
    this.#network ??= loadTeacher(this.#setup);
    const network = await this.#network;
    const plain = networkInputs(inputs);
    if (!steps) return network.run(plain);
    const { first, steps: solved } = await solve(this.#setup.schedule, { inputs: plain, ...steps }, (given) =>
      network.run(given),
    );
    const { shape } = inputs.sample!;
    return { ...first, [reached]: { data: solved.at(-1)!.sample, shape } };
  }

  async release(): Promise<void> {
    await (await this.#network)?.release();
  }
}

/** Runs the teacher alone over the first `batches` batches and writes its results to disk. */
export async function storeTeacher(
  setup: DistillationSetup,
  store: TeacherStore,
  batches: number,
  onBatch: (done: number) => void,
  signal: AbortSignal | undefined,
): Promise<void> {
  const teacher = new Teacher({ ...setup, options: { ...setup.options, dataParallel: 1 } });
  let position: Position = { epoch: 0, batch: 0 };
  for (let batch = 0; batch < batches && !signal?.aborted; batch++) {
    const drawn = await drawBatch(setup, { position, batch });
    if (!(await store.has(batch, given(drawn))))
      await store.write(batch, given(drawn), await teacher.compute(drawn));
    position = drawn.next;
    onBatch(batch + 1);
  }
  await teacher.release();
}

const networkInputs = ({
  target,
  task_weights,
  timestep_cond,
  ...inputs
}: Record<string, Values>): Record<string, Values> => inputs;

/** Everything that a batch's results depend on besides the network. */
function given({ inputs, steps }: DistillationBatch): Record<string, Values> {
  if (!steps) return networkInputs(inputs);
  const { paths, w, unconditional } = steps;
  const [count, length] = [paths.length, paths[0]!.length];
  return {
    ...networkInputs(inputs),
    ...Object.fromEntries(Object.entries(unconditional).map(([name, x]) => [`unconditional/${name}`, x])),
    paths: floats(Float32Array.from(paths.flat()), count, length),
    w: floats(w, count),
  };
}

function loweredTeacher(setup: DistillationSetup, engine: Engine): Program {
  const { config, file, weights } = setup.teacher;
  const trace = teacherTrace(unetConfig(config), pairsOf(setup));
  return componentProgram("teacher", file, weights, trace, engine);
}

/** The teacher on as many threads as the student. */
async function loadTeacher(setup: DistillationSetup): Promise<Session> {
  const { dataParallel: parts, gradientCheckpointing } = setup.options;
  const { engine } = setup;
  if (parts === 1) return engine.load(loweredTeacher(setup, engine), { keepsMemory: !gradientCheckpointing });
  const engines = Array.from({ length: parts }, () => workerEngine({ threads: 1, spinning: false }));
  const sessions = engines.map((engine) => engine.load(loweredTeacher(setup, engine)));
  return {
    run: parallelRun(await Promise.all(sessions)),
    release: async () => void (await Promise.all(engines.map((engine) => engine.close()))),
  };
}
