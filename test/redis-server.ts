/** @file A real Redis for tests: Debian's redis-server on a free port of this machine, without files by default. */

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { createServer } from "node:net";

export type RedisServer = { url: string; port: number; stop(): Promise<void> };

/** With a folder it writes every change there, and one that is started again on its port goes on from it. */
export async function startRedis({
  folder,
  port,
  args: more = [],
}: {
  folder?: string;
  port?: number;
  /** Further arguments of redis-server. */
  args?: readonly string[];
} = {}): Promise<RedisServer> {
  port ??= await freePort();
  const files = folder ? ["--dir", folder, "--appendonly", "yes", "--appendfsync", "always"] : [];
  const args = ["--bind", "127.0.0.1", "--port", String(port), "--save", "", ...files, ...more];
  const child = spawn("redis-server", args, { stdio: ["ignore", "pipe", "inherit"] });
  await listening(child);
  return {
    url: `redis://127.0.0.1:${port}`,
    port,
    stop: async () => {
      const ended = once(child, "exit");
      child.kill("SIGKILL");
      await ended;
    },
  };
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

function listening(child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    let said = "";
    child.stdout!.on("data", (data: Buffer) => {
      said += data;
      if (said.includes("Ready to accept connections")) resolve();
    });
    child.on("error", (error: NodeJS.ErrnoException) => {
      const absent = "redis-server: must be installed, got none. Run: apt-get install redis-server";
      reject(error.code === "ENOENT" ? new Error(absent) : error);
    });
    child.on("exit", (code) => reject(new Error(`redis-server ended with ${code}: ${said.slice(-500)}`)));
  });
}
