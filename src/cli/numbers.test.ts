/** @file Numeric options of the command line. */

import { describe, expect, it } from "vitest";
import { graceOption, numberOption, wholeOption } from "./numbers.js";

describe("a numeric option", () => {
  it("is read as a number, or refused with what was given", () => {
    expect([numberOption("0.5"), wholeOption("12"), graceOption("86400")]).toEqual([0.5, 12, 86_400]);
    expect(() => numberOption("")).toThrow('"" is not a number.');
    expect(() => wholeOption("1.5")).toThrow('"1.5" is not a whole number.');
  });

  it("of a grace period is a day at most, as timers end at once beyond 24 days", () => {
    expect(() => graceOption("999999999999")).toThrow("at most 86400, a day, got 999999999999.");
  });
});
