/** @file The simulated arena, on sequences that can be followed by hand. */

import { describe, expect, it } from "vitest";
import { Arena } from "./arena.js";

const mega = 2 ** 20;

describe("the arena", () => {
  it("allocates again what was released", () => {
    const arena = new Arena();
    arena.release(arena.take(10 * mega));
    arena.release(arena.take(10 * mega));
    expect(arena.touched).toBe(10 * mega);
  });

  it("counts what is alive at once, in units of 256 bytes", () => {
    const arena = new Arena();
    arena.take(1000);
    arena.take(24);
    expect(arena.touched).toBe(1024 + 256);
  });

  it("merges adjacent free chunks", () => {
    const arena = new Arena();
    const [a, b] = [arena.take(mega / 2), arena.take(mega / 2)];
    arena.release(a);
    arena.release(b);
    arena.take(mega);
    expect(arena.touched).toBe(mega);
  });

  it("is fragmented where free chunks are too small", () => {
    const arena = new Arena();
    const first = arena.take(3 * mega);
    arena.take(mega / 4);
    arena.release(first);
    arena.take(4.5 * mega);
    expect(arena.touched).toBe(7.75 * mega);
  });
});
