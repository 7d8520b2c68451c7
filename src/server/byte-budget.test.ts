/** @file A budget of bytes: shares in order, patience, release. */

import { describe, expect, it } from "vitest";
import { rng } from "../../test/malformed.js";
import { ByteBudget } from "./byte-budget.js";

const taken = (budget: ByteBudget, bytes: number) => budget.take(bytes, new AbortController().signal);
const turn = () => new Promise((resolve) => setImmediate(resolve));

describe("a byte budget", () => {
  it("gives shares as long as there is room, in the order of the requests", async () => {
    const budget = new ByteBudget(10, 60_000);
    const first = await taken(budget, 6);
    const request: number[] = [];
    const noted = async (bytes: number) => {
      const share = await taken(budget, bytes);
      request.push(bytes);
      return share!;
    };
    const [large, small] = [noted(7), noted(2)];
    await turn();
    // The small one would have room, and would keep the large one waiting for ever if it went first.
    expect([request, budget.left]).toEqual([[], 4]);
    first!.release();
    (await large).release();
    (await small).release();
    expect([request, budget.left]).toEqual([[7, 2], 10]);
  });

  it("gives nothing to a request that waited too long or was cancelled, and goes on with the next", async () => {
    const budget = new ByteBudget(10, 20);
    const held = await taken(budget, 4);
    const controller = new AbortController();
    const leaves = budget.take(8, controller.signal);
    const next = taken(budget, 5);
    controller.abort();
    expect(await leaves).toBeUndefined();
    (await next)!.release();
    expect(await taken(budget, 8)).toBeUndefined();
    held!.release();
    held!.release();
    expect(budget.left).toBe(10);
  });

  it("is whole again after all shares are released", async () => {
    const [budget, random] = [new ByteBudget(100, 60_000), rng(3)];
    await Promise.all(
      Array.from({ length: 200 }, async () => {
        const share = await taken(budget, Math.floor(random() * 100));
        expect(budget.left).toBeGreaterThanOrEqual(0);
        await turn();
        share!.release();
      }),
    );
    expect(budget.left).toBe(100);
  });
});
