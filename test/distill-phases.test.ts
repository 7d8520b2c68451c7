/** @file Teacher and student one after the other, by way of the disk; other teachers; what is refused at the start. */

import { cpSync, existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  checkpointDigest,
  checkpoints,
  digests,
  done,
  koala,
  metricRows,
  model,
  students,
} from "./distill-command.js";
import { makeTestImages } from "./test-images.js";

const scratch = await mkdtemp(path.join(tmpdir(), "koala-phases-"));
afterAll(() => rmSync(scratch, { recursive: true }));
const at = (...names: string[]) => path.join(scratch, ...names);
const base = ["--data", at("images"), "--resolution", "64", "--batch-size", "2", "--threads", "1"];
const distill = (output: string, ...more: string[]) => [
  ...["distill", "--teacher", model("sdxl-tiny"), "--student", at("slim.json"), "--cache", at("cache")],
  ...["--output", at(output), "--seed", "2", "--caption-dropout", "0.3", "--lr", "1e-3", ...base, ...more],
];
const phase = (which: "teacher" | "student", ...more: string[]) => [
  ...["--phase", which, "--teacher-cache", at("taught"), ...more],
];
const four = ["--steps", "4", "--checkpoint-every", "2"];

beforeAll(async () => {
  await makeTestImages(at("images"), 8);
  writeFileSync(at("slim.json"), JSON.stringify(students.slim));
  await done(...distill("one", ...four));
  await done(...distill("two", ...four, ...phase("teacher")));
});

describe("Two phases", () => {
  it("end with one phase's bits", async () => {
    expect(existsSync(at("two", "run.json"))).toBe(false);
    const before = digests(at("taught"));
    expect(Object.keys(before).length).toBe(4);
    await done(...distill("two", ...four, ...phase("student")));
    for (const step of [2, 4])
      expect(checkpointDigest(at("two"), step)).toBe(checkpointDigest(at("one"), step));
    expect(digests(at("taught"))).toEqual(before);
  });

  it("go on where the teacher stopped, and keep what is there", async () => {
    const before = digests(at("taught"));
    const { stderr } = await done(...distill("two", "--steps", "5", ...phase("teacher")));
    expect(stderr).toContain("the teacher's results of 5 batches are stored; go on with --phase student");
    expect(digests(at("taught"))).toMatchObject(before);
    rmSync(at("taught", "batch-000004.safetensors"));
  });

  it("refuse results of another seed or of other captions, in both phases", async () => {
    const change = (which: "teacher" | "student", name: string, value: string) => {
      const args = distill(`other-${which}${name}`, ...four, ...phase(which));
      return koala(...args.map((x, i) => (args[i - 1] === name ? value : x)));
    };
    // One after the other: a cache belongs to one process at a time.
    for (const [which, name, value] of [
      ["student", "--seed", "5"],
      ["student", "--caption-dropout", "0.9"],
      ["teacher", "--seed", "5"],
    ] as const) {
      const { code, stderr } = await change(which, name, value);
      expect(stderr).toContain(
        "batch-000000.safetensors: was computed from another batch. Use the same data, seed",
      );
      expect(code).toBe(1);
    }
  });

  it("name the batch that the teacher has not come to, and the features it was not asked for", async () => {
    const further = await koala(
      ...distill("further", "--steps", "5", "--checkpoint-every", "2", ...phase("student")),
    );
    const others = await koala(...distill("others", ...four, ...phase("student"), "--feature", "lf"));
    expect(further.stderr).toContain(
      "batch-000004.safetensors: must hold the teacher's results of batch 4, got no file.",
    );
    expect(further.stderr).toContain("Let the teacher run for more steps first.");
    expect(checkpoints(at("further"))).toEqual([2, 4]);
    expect(others.stderr).toMatch(
      /batch-000000\.safetensors: must hold what the losses compare with, got nothing for "teacher_feature\/down_blocks\.1"/,
    );
    expect([further.code, others.code]).toEqual([1, 1]);
  });

  it("need a place on disk", async () => {
    const { code, stderr } = await koala(...distill("nowhere", "--phase", "teacher"));
    expect(stderr).toContain("phase: needs --teacher-cache FOLDER, got none.");
    expect(code).toBe(2);
  });
});

describe("A teacher that predicts v", () => {
  const teach = (from: string) => {
    cpSync(model("sdxl-tiny"), at(from), { recursive: true });
    const file = at(from, "scheduler", "scheduler_config.json");
    writeFileSync(
      file,
      JSON.stringify({ ...JSON.parse(readFileSync(file, "utf8")), prediction_type: "v_prediction" }),
    );
  };

  it("is taken at its scheduler's word, or at the option's, with the same result", async () => {
    teach("v-teacher");
    const args = (output: string, teacher: string, ...more: string[]) => [
      ...[
        "distill",
        "--teacher",
        teacher,
        "--student",
        at("slim.json"),
        "--cache",
        at("cache"),
        "--output",
        at(output),
      ],
      ...[
        "--seed",
        "2",
        "--caption-dropout",
        "0.3",
        "--lr",
        "1e-3",
        ...base,
        "--steps",
        "2",
        "--keep",
        "9",
        ...more,
      ],
    ];
    await done(...args("v-config", at("v-teacher")));
    await done(...args("v-option", model("sdxl-tiny"), "--prediction", "v_prediction"));
    expect(checkpointDigest(at("v-config"), 2)).toBe(checkpointDigest(at("v-option"), 2));
    const first = (run: string) =>
      metricRows(at(run))[0] as unknown as Record<"task" | "out" | "feat", number>;
    // The same noise, networks and weights: only what they are compared with differs.
    expect(first("v-config").task).not.toBe(first("one").task);
    expect([first("v-config").out, first("v-config").feat]).toEqual([first("one").out, first("one").feat]);
    for (const run of ["v-config", "v-option"]) {
      const written = JSON.parse(readFileSync(at(run, "scheduler", "scheduler_config.json"), "utf8"));
      expect(written.prediction_type, run).toBe("v_prediction");
    }
  });
});

describe("SD 2 as a teacher", () => {
  const sd2 = (...more: string[]) => [
    "distill",
    "--teacher",
    model("sd2-tiny"),
    "--output",
    at("sd2"),
    ...base,
    ...more,
  ];

  it("is refused where a KOALA student is to be cut from it", async () => {
    const { code, stderr } = await koala(...sd2("--student", "koala-700m"));
    expect(stderr).toContain("down_block_types: must be");
    expect(stderr).toContain("Give the student as a config.json of its own.");
    expect(code).toBe(1);
    expect(existsSync(at("sd2"))).toBe(false);
  });

  it("teaches a student with a config of its own, which can be generated from", async () => {
    const config = JSON.parse(readFileSync(path.join(model("sd2-tiny"), "unet", "config.json"), "utf8"));
    writeFileSync(at("sd2.json"), JSON.stringify({ ...config, layers_per_block: 1 }));
    await done(...sd2("--student", at("sd2.json"), "--steps", "2", "--feature", "lf"));
    expect(metricRows(at("sd2")).every(({ loss }) => Number.isFinite(loss) && loss > 0)).toBe(true);
    await done(
      "generate",
      "--model",
      at("sd2"),
      "a boat",
      "--output",
      at("boat.png"),
      "--steps",
      "2",
      "--seed",
      "1",
    );
    expect(existsSync(at("boat.png"))).toBe(true);
  });
});

describe("At the start", () => {
  it("a batch that no bucket can fill is refused", async () => {
    const { code, stderr } = await koala(...distill("batch", "--batch-size", "9"));
    expect(stderr).toContain('--batch-size: must be at most the images of a bucket ("64x64: 8"), got 9.');
    expect(code).toBe(2);
    expect(existsSync(at("batch"))).toBe(false);
  });

  it("a rate so high that the run diverges ends it with the last checkpoint whole", async () => {
    const args = distill("steep", "--steps", "30", "--checkpoint-every", "1", "--max-grad-norm", "0");
    const { code, stderr } = await koala(...args.map((x) => (x === "1e-3" ? "1e12" : x)));
    expect(stderr).toMatch(
      /: must be finite, got -?(NaN|Infinity) at step \d+\. Lower --lr, .* the last checkpoint is whole\./,
    );
    expect(code).toBe(2);
    const kept = checkpoints(at("steep"));
    const step = Number(/at step (\d+)\./.exec(stderr)![1]);
    expect(kept.at(-1) ?? 0).toBe(step - 1);
    if (kept.length > 0) expect((await koala("inspect", at("steep"))).code).toBe(0);
  });
});
