/** @file The scores that a safety checker decides by; `golden/safety.ts` has those of images. */

import { expect, it } from "vitest";
import { safetyScores } from "./safety-checker.js";

it("scores are rounded to three decimals, and a special concept adds 0.01 to those after it", () => {
  expect(safetyScores([0.0004, -0.2], [-0.1]).flagged).toBe(false);
  expect(safetyScores([0.0006], [-0.1])).toEqual({ flagged: true, concepts: [0.001], special: [-0.1] });
  const special = safetyScores([-0.004], [-0.5, 0.01, -0.111]);
  expect(special).toEqual({ flagged: true, concepts: [0.006], special: [-0.5, 0.01, -0.101] });
});
