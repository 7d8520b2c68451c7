/** @file The events of several jobs over one connection, without a socket. */

import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { eventsOf, quick, type SentEvent, type Stage, stage } from "../../test/serving.js";
import { mostFollowed } from "../jobs/limits.js";
import { goneEvent, imageEvent, type Job, job, jobList, previewEvent, stepEvent } from "../jobs/schemas.js";

let at: Stage;
beforeAll(async () => {
  at = await stage();
});
afterAll(() => at.close());

const submitted = async (change: object = {}): Promise<Job> =>
  job.parse(await (await at.post("/api/jobs", { ...quick, ...change })).json());
const stateOf = async (id: string) => job.parse(await (await at.get(`/api/jobs/${id}`)).json()).state;
const unknown = "00000000-0000-4000-8000-000000000000";

/** Whose event it is. */
function jobOf({ event, data }: SentEvent): string {
  if (event === "state") return job.parse(data).id;
  const schemas = { step: stepEvent, preview: previewEvent, image: imageEvent, gone: goneEvent };
  return schemas[event as keyof typeof schemas].parse(data).job;
}

describe("one stream of several jobs", () => {
  it("has the events of each to its end, and ends with the last", async () => {
    const jobs = [await submitted({ previews: true }), await submitted({ steps: 3 }), await submitted()];
    const ids = jobs.map(({ id }) => id);
    const url = `/api/events?jobs=${ids.join(",")}`;
    const events = await eventsOf(await at.get(url));
    for (const id of ids) {
      const own = events.filter((event) => jobOf(event) === id);
      expect(own[0]!.event).toBe("state");
      expect(own.map(({ event }) => event)).toEqual(expect.arrayContaining(["step", "image"]));
      expect(own.at(-1)).toMatchObject({ event: "state", data: { state: "done" } });
    }
    expect(events.filter(({ id }) => id !== undefined)).toEqual([events.at(-1)]);
    expect(events.at(-1)!.id).toBe("end");
    expect((await at.get(url, { "last-event-id": "end" })).status).toBe(204);
    const again = await eventsOf(await at.get(url));
    expect(again.map(({ event }) => event)).toEqual(["state", "state", "state"]);
    expect(again.map(jobOf).sort()).toEqual([...ids].sort());
  });

  it("goes on for a client that connects again with another job, until that is over too", async () => {
    const [first, second] = [await submitted(), await submitted({ steps: 3 })];
    await eventsOf(await at.get(`/api/events?jobs=${first.id}`));
    const url = `/api/events?jobs=${first.id},${second.id}`;
    const events = await eventsOf(await at.get(url, { "last-event-id": "" }));
    expect(events.at(-1)).toMatchObject({ id: "end", data: { state: "done" } });
    expect(events.filter((event) => jobOf(event) === first.id)).toHaveLength(1);
  });

  it("says which jobs are not known, and has the others' events", async () => {
    const { id } = await submitted();
    const events = await eventsOf(await at.get(`/api/events?jobs=${unknown},nonsense,${id}`));
    const gone = events.filter(({ event }) => event === "gone");
    expect(gone.map(jobOf)).toEqual([unknown, "nonsense"]);
    expect(events.at(-1)).toMatchObject({ event: "state", id: "end", data: { id, state: "done" } });
    const none = await eventsOf(await at.get(`/api/events?jobs=${unknown}`));
    expect(none).toEqual([{ event: "gone", id: "end", data: { job: unknown } }]);
  });

  it.each([
    ["", 0],
    [",,", 0],
    [Array.from({ length: mostFollowed + 1 }, (_, i) => `job-${i}`).join(","), mostFollowed + 1],
  ])("is refused without ids and with too many", async (jobs, got) => {
    const answer = await at.get(`/api/events?jobs=${jobs}`);
    expect(answer.status).toBe(422);
    expect(await answer.json()).toMatchObject({
      error: { field: "jobs", message: expect.stringContaining(`got ${got}.`) },
    });
  });

  it("counts as one who waits for each of its jobs", async () => {
    const client = new AbortController();
    const sent = at.app.request("http://localhost/v1/images/generations", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ prompt: "a red bicycle", size: "72x72", steps: 150, seed: 4711 }),
      signal: client.signal,
    });
    const hungUp = Promise.resolve(sent).catch(() => {});
    const waiting = async () =>
      jobList
        .parse(await (await at.get("/api/jobs")).json())
        .jobs.find(({ settings }) => settings.seed === "4711") ?? expect.fail("no such job yet");
    const { id } = await vi.waitFor(waiting);
    const stream = (await at.get(`/api/events?jobs=${unknown},${id}`)).body!.getReader();
    await stream.read();
    await stream.read();
    client.abort();
    await hungUp;
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(await stateOf(id)).toBe("running");
    await stream.cancel();
    await vi.waitFor(async () => expect(await stateOf(id)).toBe("cancelled"), 10_000);
  });

  it("needs the key, where there is one", async () => {
    const locked = await stage({ guard: { key: "secret" } });
    expect((await locked.get(`/api/events?jobs=${unknown}`)).status).toBe(401);
    const authorization = "Bearer secret";
    expect((await locked.get(`/api/events?jobs=${unknown}`, { authorization })).status).toBe(200);
    await locked.close();
  });

  it("met no bug of its own", () => expect(at.errors).toEqual([]));
});
