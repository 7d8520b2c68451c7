/** @file Interpolation as PyTorch's. */

import { describe, expect, it } from "vitest";
import { bicubic } from "./interpolate.js";

describe("bicubic enlargement", () => {
  it("gives PyTorch's numbers: interpolate(mode='bicubic') of [[0, 1], [2, 4]] to 3 x 4", () => {
    const enlarged = bicubic({ height: 2, width: 2 }, { height: 3, width: 4 })(Float32Array.of(0, 1, 2, 4));
    // torch 2.15.0, F.interpolate(torch.tensor([[[[0., 1], [2, 4]]]]), (3, 4), mode="bicubic")
    const torch = [
      ...[-0.26992467, 0.03328448, 0.53268778, 0.83589697, 0.84179688, 1.33984375, 2.16015625, 2.6582031],
      ...[1.95351815, 2.6464026, 3.78762484, 4.48050928],
    ];
    for (const [i, value] of enlarged.entries()) expect(value).toBeCloseTo(torch[i]!, 6);
  });

  it("leaves a map of the same size as it is, and a flat map flat", () => {
    const map = Float32Array.of(0.25, -1, 3, 0.1);
    expect(bicubic({ height: 2, width: 2 }, { height: 2, width: 2 })(map)).toEqual(map);
    const flat = bicubic({ height: 1, width: 1 }, { height: 5, width: 3 })(Float32Array.of(0.5));
    expect([...flat].every((x) => Math.abs(x - 0.5) < 1e-7)).toBe(true);
  });
});
