/** @file What can be checked of Dockerfile and compose.yaml where no container runs: that what they name exists. */

import { existsSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { serveCommand } from "../src/cli/serve.js";
import { workerCommand } from "../src/cli/worker.js";

const file = (name: string) => readFileSync(new URL(`../${name}`, import.meta.url), "utf8");

type Service = {
  build?: string;
  image: string;
  command: string[];
  environment?: Record<string, string | null>;
  volumes?: string[];
  depends_on?: Record<string, { condition: string }>;
  deploy?: { replicas: number };
  stop_grace_period?: string;
};
const compose = parse(file("compose.yaml")) as {
  services: Record<string, Service>;
  volumes: Record<string, unknown>;
};
const commands = { serve: serveCommand(), worker: workerCommand() };

/** As Compose fills it in when nothing is set. */
const filled = (text: string) => text.replace(/\$\{\w+:-(.*?)\}/g, "$1");

describe("compose.yaml", () => {
  const { redis, server, worker } = compose.services;

  it("starts Redis, a server and two workers, in that order", () => {
    expect(Object.keys(compose.services)).toEqual(["redis", "server", "worker"]);
    expect(worker!.deploy).toEqual({ replicas: 2 });
    for (const { depends_on } of [server!, worker!])
      expect(depends_on).toEqual({ redis: { condition: "service_healthy" } });
    expect(redis!.command).toContain("noeviction");
  });

  it.each([server!, worker!])(
    "runs a command that koala has, with options that it takes: $command",
    ({ command }) => {
      const [name, ...args] = command.map(filled);
      const known = commands[name as keyof typeof commands];
      expect(known.parseOptions(args)).toEqual({ operands: [], unknown: [] });
      expect(known.opts().redis).toBe("redis://redis:6379");
      expect(Number(known.opts().grace)).toBeLessThan(
        Number(
          /^(\d+)s$/.exec(compose.services[name === "serve" ? "server" : "worker"]!.stop_grace_period!)![1],
        ),
      );
    },
  );

  it("sets variables that the command reads, and leaves safety to whoever starts it", () => {
    const read = (name: "serve" | "worker") => [
      ...commands[name].options.flatMap(({ envVar }) => envVar ?? []),
      // The Hub's own; and the key, which help must not show.
      ...["HF_TOKEN", "KOALA_API_KEY"],
    ];
    for (const { command, environment } of [server!, worker!])
      expect(read(command[0] as "serve" | "worker")).toEqual(
        expect.arrayContaining(Object.keys(environment!)),
      );
    // Null: the value of the host's variable, none where that has none.
    expect(worker!.environment).toMatchObject({ KOALA_SAFETY: null, KOALA_SAFETY_CHECKER: null });
    expect(read("serve")).toEqual(expect.arrayContaining(["KOALA_SAFETY", "KOALA_SAFETY_CHECKER"]));
  });

  it("declares every volume that it mounts", () => {
    const named = Object.values(compose.services)
      .flatMap(({ volumes = [] }) => volumes.map((volume) => volume.split(":")[0]!))
      .filter((source) => !source.startsWith("."));
    expect(named.sort()).toEqual(Object.keys(compose.volumes).sort());
  });
});

describe("Dockerfile", () => {
  const text = file("Dockerfile").replaceAll("\\\n", " ");
  const lines = text.split("\n").filter((line) => line && !line.startsWith("#"));
  const { scripts, bin } = JSON.parse(file("package.json")) as {
    scripts: Record<string, string>;
    bin: Record<string, string>;
  };

  it("fetches from npm alone, and never ONNX Runtime's GPU files", () => {
    expect(text).not.toMatch(/curl|wget|git clone|pip |^ADD http/m);
    expect(lines.findIndex((line) => /ENV ONNXRUNTIME_NODE_INSTALL=skip/.test(line))).toBeLessThan(
      lines.findIndex((line) => line.startsWith("RUN npm ci")),
    );
  });

  it("names scripts, files and a command that are there", () => {
    for (const [, script] of text.matchAll(/npm run (\S+)/g)) expect(Object.keys(scripts)).toContain(script);
    const copied = /^COPY (package.*) \.\/$/m.exec(text)![1]!.split(" ");
    for (const name of copied) expect(existsSync(new URL(`../${name}`, import.meta.url)), name).toBe(true);
    expect(text).toContain(`ln -s /koala/${bin.koala} /usr/local/bin/koala`);
    expect(text).toContain('ENTRYPOINT ["koala"]');
  });

  it("is not denied what the build needs", () => {
    const ignored = file(".dockerignore").trim().split("\n");
    const { files } = JSON.parse(file("package.json")) as { files: string[] };
    for (const needed of [...files.filter((name) => name !== "dist"), "src", "tsconfig.json", "web"])
      expect(ignored).not.toContain(needed);
  });
});
