/**
 * @file The cost of a distillation before anything of it is loaded: operations, multiplications, memory, and the largest
 * batch that fits. Counted from the programs' graphs, without weights.
 */

import { type Device, deviceOf, parseDevice } from "../engine/device.js";
import { lower } from "../engine/lower.js";
import { peakBytes } from "../engine/memory/peak.js";
import { eliminateCommonSubexpressions } from "../engine/rewrite/common-subexpressions.js";
import { deviceGraph } from "../engine/rewrite/device-graph.js";
import { InvalidRequest } from "../errors.js";
import type { JsonObject } from "../files/json.js";
import { macs, parameters } from "../models/cost.js";
import { unetInputs } from "../models/trace.js";
import { type UNetConfig, unetConfig } from "../models/unet-config.js";
import { gradients } from "../tensor/gradient.js";
import { topological } from "../tensor/order.js";
import { Params, tracing } from "../tensor/params.js";
import { count, type Tensor } from "../tensor/tensor.js";
import { type FeatureSet, featurePairs } from "./features.js";
import { unetWeights } from "./initialisation.js";
import { stagePaths } from "./layer-mapping.js";
import type { LoraOptions, LoraRequest } from "./lora/options.js";
import type { FeatureLoss, LossWeights } from "./loss.js";
import { trainingOptions } from "./options.js";
import {
  checkpointedBytes,
  computedGraph,
  foldedGraph,
  plannedDevice,
  sizeOf,
} from "./plan-checkpointing.js";
import {
  type StepSize,
  type StudentOptions,
  type StudentTrace,
  studentTrace,
  unetWithFeatures,
} from "./step.js";
import type { ConsistencyRequest, TrajectoryRequest } from "./step-distillation/options.js";
import { targetTrace } from "./step-distillation/target-network.js";
import {
  checkLoraStudent,
  defaultStudent,
  type StudentName,
  studentConfig,
  withGuidanceInput,
} from "./student.js";

export type DistillationPlanRequest = {
  /** Parsed `unet/config.json`. */
  teacher: JsonObject;
  /** Default "koala-700m", in a step distillation "teacher". */
  student?: StudentName | JsonObject;
  /** Default "koala". */
  feature?: FeatureSet;
  featureLoss?: FeatureLoss;
  /** Default 1 each, in a step distillation 0 each but `solver`. */
  loss?: Partial<LossWeights>;
  /** A step distillation. Default none. Without a guidance scale a trajectory's teacher is counted as guided. */
  consistency?: ConsistencyRequest | null;
  trajectory?: TrajectoryRequest | null;
  /** A LoRA that is trained in place of the student's weights. Default none. */
  lora?: LoraRequest | null;
  /** Images in a batch. Default 1. */
  batch?: number;
  /** Heights and widths in pixels, multiples of 8. Default 512 and 1024. */
  resolutions?: readonly number[];
  /** Whether a moving average of the weights is kept. Default false. */
  ema?: boolean;
  /** Batches of the whole run, updates times those in an update. Default 10,000. */
  batches?: number;
  /** What it is computed on, by whose operators activations differ; not "auto", since none is opened. Default "cpu". */
  device?: string;
  /** Bytes of memory; with them the plan has the largest batch that fits. */
  memory?: number;
};

/** One network's program: the student's is a whole step, forward and backward. */
export type ProgramCost = {
  parameters: number;
  /** Those that are trained: of the student, all, or a LoRA's beside them. */
  trained: number;
  /** Of the traced graph, and nodes of the ONNX program. */
  operations: number;
  nodes: number;
  /** Multiply-accumulates of one run, in units of 10^9. */
  gmac: number;
};

/** The ways to run a distillation; of two phases, which are two processes, the larger counts. */
export const ways = [
  "one phase",
  "one phase, checkpointed",
  "two phases: teacher",
  "two phases: student",
  "two phases: student, checkpointed",
] as const;
export type Way = (typeof ways)[number];

/** Bytes by what they hold; `checkpointed` activations are those under gradient checkpointing. */
export type PlanBytes = {
  runtime: number;
  teacherWeights: number;
  teacherActivations: number;
  /** The teacher's output and features, inputs of the student's program. */
  teacherResults: number;
  /** The student's trained weights, which are a LoRA's where one is trained. */
  studentWeights: number;
  gradients: number;
  moments: number;
  average: number;
  /** Consistency distillation's target network, and one pass of it. */
  targetWeights: number;
  targetActivations: number;
  /** Tables in the student's program, such as which pixels a convolution gathers. */
  constants: number;
  activations: number;
  checkpointed: number;
  /** The weights that a LoRA is trained beside, as student and target network hold them; under gradient checkpointing. */
  frozenWeights: number;
  frozenCheckpointed: number;
};

/** Passes of the networks in one batch, and multiply-accumulates of them all, in units of 10^9. */
export type PlanWork = {
  teacherPasses: number;
  targetPasses: number;
  gmac: number;
  /** Of the whole run. */
  batches: number;
  runGmac: number;
};

export type PlanRow = {
  resolution: number;
  batch: number;
  teacher: ProgramCost;
  student: ProgramCost;
  work: PlanWork;
  bytes: PlanBytes;
  totals: Readonly<Record<Way, number>>;
  /** With `memory`: the largest batch of each way; 0 where not even one image fits. */
  largestBatch?: Readonly<Record<Way, number>>;
};

export type DistillationPlan = {
  device: string;
  memory: number | undefined;
  rows: readonly PlanRow[];
};

/** Node, ONNX Runtime and the loaded programs: an estimate. */
const runtime = 300e6;
const tokens = 77;

/** Traces both networks at each resolution; throws as `trainingOptions`, `studentConfig` and `featurePairs` do. */
export function distillationPlan(request: DistillationPlanRequest): DistillationPlan {
  const { batch = 1, batches = 10_000, resolutions = [512, 1024], memory } = request;
  const { setup, passes } = planned(request);
  const rows = resolutions.map((resolution) => {
    const at = (n: number) =>
      traced({ ...setup, size: { batch: n, height: resolution / 8, width: resolution / 8, tokens } });
    const requested = at(batch);
    const bytes = bytesOf(requested);
    const costs = programs(requested);
    const gmac =
      passes.teacher * costs.teacher.gmac + costs.student.gmac + passes.target * targetGmac(requested);
    const work = {
      ...{ teacherPasses: passes.teacher, targetPasses: passes.target, gmac },
      ...{ batches, runGmac: gmac * batches },
    };
    const row: PlanRow = { resolution, batch, ...costs, work, bytes, totals: totals(bytes) };
    if (memory === undefined) return row;
    return { ...row, largestBatch: largest(row, totals(bytesOf(at(2 * batch))), memory) };
  });
  return { device: setup.device.name, memory, rows };
}

type Passes = { teacher: number; target: number };

/** The networks and losses, and how often each network runs in a batch. */
function planned(request: DistillationPlanRequest): { setup: Omit<Setup, "size">; passes: Passes } {
  const { feature, featureLoss, loss, consistency, trajectory, lora } = trainingOptions({
    ...(request.feature && { feature: request.feature }),
    ...(request.featureLoss && { featureLoss: request.featureLoss }),
    ...(request.loss && { loss: request.loss }),
    ...{ consistency: request.consistency ?? null, trajectory: request.trajectory ?? null },
    lora: request.lora ?? null,
  });
  const teacher = unetConfig(request.teacher);
  const given = request.student ?? defaultStudent({ consistency, trajectory, lora });
  if (lora) checkLoraStudent(lora, given, consistency);
  const student = unetConfig(withGuidanceInput(studentConfig(request.teacher, given), consistency));
  const pairs = loss.feat === 0 ? [] : featurePairs(student, teacher, feature);
  const compared = loss.out > 0 || pairs.length > 0 ? 1 : 0;
  const guided = trajectory?.guidanceScale === 1 || consistency?.wMax === 0 ? 1 : 2;
  const solver = consistency?.lossType === "huber" ? { huberC: consistency.huberC } : { huberC: undefined };
  return {
    setup: {
      ...{ teacher, student, pairs, weights: loss, featureLoss, lora },
      solver: (consistency ?? trajectory) ? solver : undefined,
      target: consistency ? { hasOwnWeights: consistency.emaDecay > 0 } : undefined,
      device: namedDevice(request.device ?? "cpu"),
      ema: request.ema === true,
    },
    passes: {
      teacher: consistency ? guided : trajectory ? trajectory.teacherSteps * guided : compared,
      target: consistency ? 1 : 0,
    },
  };
}

function namedDevice(name: string): Device {
  const found = parseDevice(name);
  if (found !== "auto") return deviceOf(found.provider, found);
  const rule = 'must be named for a plan, which opens no device, got "auto".';
  throw new InvalidRequest("device", name, `${rule} "koala devices" lists them.`);
}

type Setup = {
  teacher: UNetConfig;
  student: UNetConfig;
  pairs: ReturnType<typeof featurePairs>;
  weights: LossWeights;
  featureLoss: FeatureLoss;
  solver: StudentOptions["solver"];
  lora: LoraOptions | null;
  /** Consistency distillation's; without weights of its own it is the student itself. */
  target: { hasOwnWeights: boolean } | undefined;
  size: StepSize;
  device: Device;
  ema: boolean;
};

/** The graphs of a step; `computed` as the student's program computes it, `frozen` the bytes of what it holds besides. */
type Traced = Setup & {
  teacherOutputs: Record<string, Tensor>;
  trace: StudentTrace;
  step: Record<string, Tensor>;
  computed: Record<string, Tensor>;
  frozen: number;
};

function traced(setup: Setup): Traced {
  const { teacher, student, pairs, size, weights, featureLoss, solver, device, lora } = setup;
  const watch = stagePaths(student);
  const trace = studentTrace(student, pairs, size, { weights, featureLoss, solver, watch, lora });
  const step = wholeStep(trace);
  const teacherOutputs = teacherGraph(teacher, pairs, size);
  const { graph: computed, bytes: frozen } = foldedGraph(step, trace.params, device);
  return { ...setup, trace, step, teacherOutputs, computed, frozen };
}

function programs({
  teacher,
  student,
  teacherOutputs,
  step,
  computed,
  device,
  trace,
}: Traced): Pick<PlanRow, "teacher" | "student"> {
  const cost = (
    c: UNetConfig,
    graph: Record<string, Tensor>,
    lowered: Record<string, Tensor>,
    on: Device,
  ) => ({
    parameters: parameters(unetWeights(c)),
    operations: topological(Object.values(graph)).filter((x) => x.inputs.length > 0).length,
    nodes: lower("planned", lowered, { device: on }).nodes,
    // Of the graph as traced: Winograd's fewer products would not compare with others' counts.
    gmac: macs(Object.values(eliminateCommonSubexpressions(deviceGraph(graph, on)))) / 1e9,
  });
  return {
    teacher: { ...cost(teacher, teacherOutputs, teacherOutputs, device), trained: 0 },
    student: { ...cost(student, step, computed, plannedDevice(device)), trained: trainedCount(trace) },
  };
}

const trainedCount = ({ params }: StudentTrace): number =>
  [...params.values()].reduce((sum, { shape }) => sum + count(shape), 0);

/** One pass of the target network: its activations, and the frozen weights that it holds for itself. */
function targetBytes({ student, size, device, lora, trace }: Traced): {
  activations: number;
  frozen: number;
} {
  const { output } = targetTrace(student, size, lora);
  const { bytes } = foldedGraph({ output }, trace.params, device);
  const graph = computedGraph({ output }, device);
  const { peak } = peakBytes(graph, { device: plannedDevice(device), weights: "inputs" });
  return { activations: peak, frozen: bytes };
}

const targetGmac = (of: Traced): number => {
  const { output } = targetTrace(of.student, of.size, of.lora);
  const graph = deviceGraph({ output }, plannedDevice(of.device));
  return macs(Object.values(eliminateCommonSubexpressions(graph))) / 1e9;
};

function bytesOf(of: Traced): PlanBytes {
  const { teacher, student, teacherOutputs, trace, computed, frozen, device, ema, target } = of;
  const own = trainedCount(trace);
  const teacherParameters = parameters(unetWeights(teacher));
  const given = new Set(Object.keys(computed).filter((name) => name.startsWith("gradient/")));
  const whole = peakBytes(computed, { device: plannedDevice(device), weights: "inputs", given });
  const followed = target ? targetBytes(of) : { activations: 0, frozen: 0 };
  const checkpointed = checkpointedBytes(trace, stagePaths(student), device);
  return {
    runtime,
    teacherWeights: 4 * teacherParameters,
    teacherActivations: peakBytes(teacherOutputs, { device }).peak,
    teacherResults: sizeOf(Object.values(teacherOutputs)),
    studentWeights: 4 * own,
    gradients: 4 * own,
    moments: 8 * own,
    average: ema ? 4 * own : 0,
    targetWeights: target?.hasOwnWeights ? 4 * own : 0,
    targetActivations: followed.activations,
    constants: whole.constants,
    activations: whole.peak + whole.returned,
    checkpointed: checkpointed.peak,
    frozenWeights: frozen + followed.frozen,
    frozenCheckpointed: checkpointed.frozen + (device.provider === "cpu" ? 0 : followed.frozen),
  };
}

/** As `teacherTrace`, at a given size. */
function teacherGraph(c: UNetConfig, pairs: Setup["pairs"], size: StepSize): Record<string, Tensor> {
  const paths = new Set(pairs.map((pair) => pair.teacher));
  const { output, at } = unetWithFeatures(new Params(tracing()), c, unetInputs(c, size), paths);
  return { output, ...Object.fromEntries(at) };
}

/** As `wholeProgram`. */
function wholeStep({ params, losses, outputs }: StudentTrace): Record<string, Tensor> {
  const found = gradients(losses.total, [...params.values()]);
  return {
    ...outputs,
    ...Object.fromEntries([...params.keys()].map((path, i) => [`gradient/${path}`, found[i]!])),
  };
}

function totals(b: PlanBytes): Record<Way, number> {
  const teacher = b.teacherWeights + b.teacherActivations;
  const target = b.targetWeights + b.targetActivations;
  const trained = b.studentWeights + b.gradients + b.moments + b.average;
  const [whole, checkpointed] = [b.activations + b.frozenWeights, b.checkpointed + b.frozenCheckpointed];
  const student = b.runtime + b.teacherResults + trained + b.constants + target;
  return {
    "one phase": student + whole + teacher,
    "one phase, checkpointed": student + checkpointed + teacher,
    "two phases: teacher": b.runtime + teacher + b.teacherResults,
    "two phases: student": student + whole,
    "two phases: student, checkpointed": student + checkpointed,
  };
}

/** On the line through the totals of `batch` and of twice as many: weights stay, activations grow with the batch. */
function largest(row: PlanRow, twice: Record<Way, number>, memory: number): Record<Way, number> {
  const fit = (way: Way): number => {
    const perImage = (twice[way] - row.totals[way]) / row.batch;
    return Math.max(0, Math.floor(row.batch + (memory - row.totals[way]) / perImage));
  };
  return Object.fromEntries(ways.map((way) => [way, fit(way)])) as Record<Way, number>;
}
