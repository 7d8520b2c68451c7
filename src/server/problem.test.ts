/** @file Errors as problems: of a job, of a request, of the server. */

import { describe, expect, it } from "vitest";
import { EngineError, InvalidRequest, ModelError } from "../errors.js";
import { failureOf } from "../jobs/failure.js";
import { JobFailed, problemOf } from "./problem.js";

const fault = new TypeError("cannot read properties of undefined: s3cret");

describe("the problem of", () => {
  it("a bug while a request is answered does not speak of a job", () => {
    expect(problemOf(fault)).toEqual({
      status: 500,
      code: "internal",
      message: "internal: the request could not be answered, by a fault of the server. Its log says why.",
      bug: fault,
    });
  });

  it("a job that failed by a bug says so, and is not logged a second time", () => {
    expect(problemOf(new JobFailed(failureOf(fault)))).toEqual({
      status: 500,
      code: "internal",
      message: "internal: the job failed, by a fault of the server. Its log says why.",
    });
  });

  it("a wrong request is a 422, of a broken model a 500", () => {
    expect(problemOf(new InvalidRequest("width", 5, "must be 8, got 5."))).toEqual({
      status: 422,
      code: "invalid_request",
      message: "width: must be 8, got 5.",
      field: "width",
    });
    for (const error of [
      new EngineError("unet", new Error("out of memory")),
      new ModelError("a/b", "is cut off."),
    ])
      expect(problemOf(error)).toMatchObject({ status: 500, bug: error });
  });
});
