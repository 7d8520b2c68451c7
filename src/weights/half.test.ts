/** @file Half precision against the definitions of IEEE 754 binary16 and bfloat16. */
import { describe, expect, it } from "vitest";
import { bfloat16ToFloat32, float16ToFloat32, float32ToBfloat16, float32ToFloat16 } from "./half.js";

const every = Uint16Array.from({ length: 65536 }, (_, i) => i);
const half = (x: number) => float32ToFloat16(new Float32Array([x]))[0]!;
const brain = (x: number) => float32ToBfloat16(new Float32Array([x]))[0]!;

/** The value of a floating point number by the definition: (-1)^s (implicit + m) 2^e. */
function value(bits: number, exponentBits: number, mantissaBits: number): number {
  const sign = bits >>> 15 ? -1 : 1;
  const top = 2 ** exponentBits - 1;
  const exponent = (bits >>> mantissaBits) & top;
  const mantissa = (bits & (2 ** mantissaBits - 1)) / 2 ** mantissaBits;
  const bias = (top - 1) / 2;
  if (exponent === top) return mantissa ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return exponent ? sign * (1 + mantissa) * 2 ** (exponent - bias) : sign * mantissa * 2 ** (1 - bias);
}

describe("half precision", () => {
  it("has all 65536 float16 values as IEEE 754 defines them", () => {
    expect(float16ToFloat32(every)).toEqual(Float32Array.from(every, (h) => value(h, 5, 10)));
  });

  it("has all 65536 bfloat16 values as they are defined", () => {
    expect(bfloat16ToFloat32(every)).toEqual(Float32Array.from(every, (h) => value(h, 8, 7)));
  });

  it("is unchanged by a round trip through float32, NaN for NaN", () => {
    const f16 = float32ToFloat16(float16ToFloat32(every));
    const bf16 = float32ToBfloat16(bfloat16ToFloat32(every));
    for (const h of every) {
      if (Number.isNaN(value(h, 5, 10))) expect(value(f16[h]!, 5, 10)).toBeNaN();
      else expect(f16[h]).toBe(h);
      if (Number.isNaN(value(h, 8, 7))) expect(value(bf16[h]!, 8, 7)).toBeNaN();
      else expect(bf16[h]).toBe(h);
    }
  });

  it("rounds the middle between two neighbours to the even one, and either side of it to the nearer", () => {
    const above = new Float32Array(1);
    const bits = new Uint32Array(above.buffer);
    const nextUp = (x: number) => {
      above[0] = x;
      bits[0]! += 1;
      return above[0]!;
    };
    const nextDown = (x: number) => {
      above[0] = x;
      bits[0]! -= 1;
      return above[0]!;
    };
    const formats = [
      { round: half, exponent: 5, mantissa: 10, top: 0x7c00 },
      { round: brain, exponent: 8, mantissa: 7, top: 0x7f80 },
    ];
    for (const { round, exponent, mantissa, top } of formats) {
      for (let h = 0; h < top - 1; h += 1) {
        const middle = value(h, exponent, mantissa) / 2 + value(h + 1, exponent, mantissa) / 2;
        const even = h + (h % 2);
        const got = [round(nextDown(middle)), round(middle), round(nextUp(middle)), round(-middle)];
        if (got[0] !== h || got[1] !== even || got[2] !== h + 1 || got[3] !== even + 0x8000) {
          expect({ h, got }).toEqual({ h, got: [h, even, h + 1, even + 0x8000] });
        }
      }
    }
  });

  it("overflows to infinity from the middle beyond the largest value on", () => {
    expect(half(65519.996)).toBe(0x7bff);
    expect(half(65520)).toBe(0x7c00);
    expect(half(-1e30)).toBe(0xfc00);
    expect(half(Number.POSITIVE_INFINITY)).toBe(0x7c00);
    expect(brain(3.4028234663852886e38)).toBe(0x7f80);
    expect(brain(Number.NEGATIVE_INFINITY)).toBe(0xff80);
  });

  it("keeps a NaN a NaN when its payload lies in the bits that are cut", () => {
    const signalling = new Float32Array(new Uint32Array([0x7f800001]).buffer);
    expect(value(float32ToBfloat16(signalling)[0]!, 8, 7)).toBeNaN();
    expect(value(float32ToFloat16(signalling)[0]!, 5, 10)).toBeNaN();
  });
});
