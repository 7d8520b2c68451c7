/** @file Mean squares of features, by hand. */

import { expect, it } from "vitest";
import { floats } from "../engine/engine.js";
import { meanSquares } from "./mean-squares.js";
import { teacherFeature, teacherMeanSquare } from "./step.js";

it("every sample has the whole batch's mean square, so that shares divide by the same", () => {
  const results = { [teacherFeature("mid")]: floats(Float32Array.of(1, 2, 3, 4), 2, 2) };
  expect(meanSquares(results, ["mid", "mid"])).toEqual({
    [teacherMeanSquare("mid")]: { data: Float32Array.of(7.5, 7.5), shape: [2] },
  });
});
