/**
 * @file The self-test of a device: each operator that could be wrong there is compared with what the CPU computes by the
 * ONNX standard, on small shapes. A fused operator that fails is not used; any other failure rules the device out.
 */

import { type Device, standard } from "../device.js";
import { type Engine, floatsOf } from "../engine.js";
import { lower } from "../lower.js";
import { GraphWriter } from "../onnx.js";
import type { Program, Values } from "../program.js";
import { type Check, type FusedCapability, fusedChecks, requiredChecks, sineCheck } from "./checks.js";
import { type Checked, plainMessage, type SelfTestResult } from "./self-test-result.js";

/** Engines to compare: on the device, without and with permission to use the CPU, and on the CPU. */
export type Testers = { readonly strict: Engine; readonly lenient: Engine; readonly reference: Engine };

/**
 * The largest relative error that passes. A wrong kernel is off by 4e-2 or more. CUDA's libraries multiply float32 in
 * TF32, of 10 bits, unless an option says otherwise, which the Node binding cannot set.
 */
function tolerance({ provider, dtype }: Device): number {
  if (dtype === "float16") return 2e-2;
  return provider === "cuda" ? 5e-3 : 1e-4;
}

/** Compares every operator; takes milliseconds on a graphics card, seconds where it is computed by software. */
export async function selfTest(device: Device, testers: Testers): Promise<SelfTestResult> {
  const { strict, lenient } = testers;
  const fused: Record<string, Checked> = {};
  for (const [capability, check] of Object.entries(fusedChecks))
    if (device[capability as FusedCapability])
      fused[capability] = await compare(check, device, strict, testers);
  const sines = await compare(sineCheck, device, strict, testers);
  const required: Checked[] = [];
  const without = composed(device, { fused });
  for (const check of requiredChecks) required.push(await compare(check, without, lenient, testers));
  return { fused, sines, required, half: await halfProbe(strict) };
}

/**
 * The device with only those fused operators that passed, with sinusoids on the host where its sines are wrong, and with
 * weights widened at load where it cannot read half precision.
 */
export function provenDevice(device: Device, { fused, sines, half }: SelfTestResult): Device {
  return {
    ...composed(device, { fused }),
    ...(!sines.passed && { hostSinusoids: true }),
    ...(!half.passed && { weightsAsStored: false }),
  };
}

function composed(device: Device, { fused }: Pick<SelfTestResult, "fused">): Device {
  const failed = Object.keys(fusedChecks).filter((capability) => fused[capability]?.passed === false);
  return { ...device, ...Object.fromEntries(failed.map((capability) => [capability, false])) };
}

async function compare(
  check: Check,
  given: Device,
  engine: Engine,
  { reference }: Testers,
): Promise<Checked> {
  const device = { ...given, ...check.lowering };
  const name = `self-test of ${check.name}`;
  try {
    const expected = await once(reference, lower(name, check.outputs, { device: standard }), check.inputs);
    const actual = await once(engine, lower(name, check.outputs, { device }), check.inputs);
    const errors = Object.keys(check.outputs).map((key) => distance(actual[key]!, expected[key]!));
    const error = Math.max(...errors);
    const passed = error <= tolerance(device);
    const reason = `is ${error.toExponential(1)} from the cpu's result`;
    return {
      name: check.name,
      passed,
      ...(Number.isFinite(error) && { error }),
      ...(!passed && { reason }),
    };
  } catch (error) {
    return { name: check.name, passed: false, reason: firstLine(error) };
  }
}

async function once(
  engine: Engine,
  program: Program,
  inputs: Readonly<Record<string, Values>>,
): Promise<Record<string, Values>> {
  const session = await engine.load(program);
  try {
    return await session.run(inputs);
  } finally {
    await session.release();
  }
}

/** The largest difference over the largest expected value; infinite where a result is not a number. */
function distance(actual: Values, expected: Values): number {
  const [a, b] = [floatsOf(actual), floatsOf(expected)];
  const differences = b.map((v, i) => Math.abs(v - a[i]!));
  if (!differences.every(Number.isFinite)) return Number.POSITIVE_INFINITY;
  const most = (values: Float32Array) => values.reduce((x, y) => Math.max(x, Math.abs(y)), 0);
  return most(differences) / most(b);
}

/** A product in half precision, which a device without it refuses or gets wrong. */
async function halfProbe(engine: Engine): Promise<Checked> {
  const name = "half precision";
  const g = new GraphWriter();
  const half = g.node("Cast", [g.input("x", "F32", [8, 8])], { to: 10 });
  const y = g.node("Cast", [g.node("MatMul", [half, half])], { to: 1 });
  const { model } = g.encode("half", [{ name: "y", value: y, type: "F32", rank: 2 }]);
  const identity = Float32Array.from({ length: 64 }, (_, i) => (i % 9 === 0 ? 0.5 : 0));
  const inputs = { x: { data: identity, shape: [8, 8] } };
  try {
    const results = await once(engine, { name: "self-test of half precision", model }, inputs);
    const passed = floatsOf(results.y).every((v, i) => v === identity[i]! / 2);
    return passed ? { name, passed } : { name, passed, reason: "half of one half is not a quarter" };
  } catch (error) {
    return { name, passed: false, reason: firstLine(error) };
  }
}

const firstLine = (error: unknown): string =>
  plainMessage(error instanceof Error ? error.message : String(error))
    .replace(/^self-test of [^:]*: /, "")
    .replace(/\.$/, "");
