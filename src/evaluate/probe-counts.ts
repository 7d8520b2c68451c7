/** @file What the answers of a probe come to: how often each label was seen, in all prompts of a template and for each word. */

import { estimate } from "./bootstrap.js";
import type { ProbePrompt } from "./probe-templates.js";
import { mean } from "./vectors.js";

/** What was seen on the images of one prompt, by seed, and what is as asked. */
export type Answer = { seen: readonly string[]; expected?: string | undefined };
/** The answers for one prompt by question. */
export type Answers = Readonly<Record<string, Answer>>;

/** A share in percent, with the interval that holds it with 95 %. */
export type Share = { mean: number; interval?: readonly [low: number, high: number] };
type Compared = { model: Share; reference?: Share; difference?: Share };

/** Prompts that are counted together: those of a template, or of them those with a word at a place. */
export type Group = { template: string; place?: string; word?: string; prompts: readonly number[] };

export type Row = Group & {
  question: string;
  /** How often the label was seen that was asked for, of the prompts that ask for one. */
  asAsked?: Compared;
  /** What was seen, most often first; where prompts ask for a label, what was seen instead of it. */
  labels: readonly (Compared & { label: string })[];
};

/** The groups of a probe: each template, then each word at each of its places. */
export function groupsOf(prompts: readonly ProbePrompt[]): Group[] {
  return [...new Set(prompts.map(({ template }) => template))].flatMap((template) => {
    const own = [...prompts.keys()].filter((i) => prompts[i]!.template === template);
    const keys = Object.keys(prompts[own[0]!]!.values);
    const words = keys.flatMap((place) =>
      [...new Set(own.map((i) => prompts[i]!.values[place]!))].map((word) => ({
        ...{ template, place, word },
        prompts: own.filter((i) => prompts[i]!.values[place] === word),
      })),
    );
    // Of a single word the whole is the same again.
    return [{ template, prompts: own }, ...words.filter((group) => group.prompts.length < own.length)];
  });
}

/** A row for each group and question. */
export function countAnswers(
  groups: readonly Group[],
  own: readonly Answers[],
  other: readonly Answers[] | undefined,
): Row[] {
  const questions = [...new Set(own.flatMap((answers) => Object.keys(answers)))];
  return questions.flatMap((question) =>
    groups.flatMap((group) => {
      const asked = group.prompts.filter((i) => own[i]![question]);
      if (asked.length === 0) return [];
      const of = (all: readonly Answers[]) => asked.map((i) => all[i]![question]!);
      return [{ ...group, prompts: asked, question, ...counted(of(own), other && of(other)) }];
    }),
  );
}

function counted(
  own: readonly Answer[],
  other: readonly Answer[] | undefined,
): Pick<Row, "asAsked" | "labels"> {
  const compare = (counts: (seen: string, answer: Answer) => boolean, of = (_: Answer) => true): Compared => {
    const model = bySeed(own.filter(of), counts);
    const reference = other && bySeed(other.filter(of), counts);
    return {
      model: share(model, true),
      ...(reference && { reference: share(reference, true) }),
      ...(reference && { difference: share(model.map((x, s) => x - reference[s]!)) }),
    };
  };
  const expects = ({ expected }: Answer) => expected !== undefined;
  const asks = own.some(expects);
  const instead = (one: string, { expected }: Answer) => one !== expected;
  const seen = new Set(
    [...own, ...(other ?? [])]
      .filter((answer) => !asks || expects(answer))
      .flatMap((answer) => answer.seen.filter((one) => instead(one, answer))),
  );
  const labels = [...seen].map((label) => ({
    label,
    ...compare((one, answer) => one === label && instead(one, answer), asks ? expects : undefined),
  }));
  const most = ({ model, reference = model }: Compared) => model.mean + reference.mean;
  return {
    ...(asks && { asAsked: compare((one, { expected }) => one === expected, expects) }),
    labels: labels.sort((a, b) => most(b) - most(a)),
  };
}

/** Of each seed the share of prompts, in percent. */
const bySeed = (answers: readonly Answer[], counts: (seen: string, answer: Answer) => boolean): number[] =>
  answers[0]!.seen.map((_, s) => mean(answers.map((answer) => (counts(answer.seen[s]!, answer) ? 100 : 0))));

/**
 * The prompts of a probe are all that are meant, and the seeds are what might have been others: so the interval is over
 * seeds, with the share among the prompts as a seed's number.
 */
function share(perSeed: readonly number[], percent = false): Share {
  const { mean: value, interval } = estimate(perSeed, { percent });
  return { mean: value, ...(interval && { interval }) };
}
