/** @file The figures of an evaluation: of each measure its mean over prompts with an interval, and of two models' difference. */

import { type Estimate, estimate } from "./bootstrap.js";
import { enoughRows, frechetDistance } from "./frechet.js";
import { type Measured, measureOf } from "./measures.js";
import { mean } from "./vectors.js";

/** A measure of one model, of the reference, and of the first less the second over the same prompts. */
export type Figure = { measure: string; model: Estimate; reference?: Estimate; difference?: Estimate };

/** The figures of all measures that any of these prompts has. */
export function figures(model: readonly Measured[], reference: readonly Measured[] | undefined): Figure[] {
  const ids = [...new Set(model.flatMap(({ measures }) => [...measures.keys()]))];
  return ids.map((measure) => {
    const own = perPrompt(model, measure);
    const others = reference && perPrompt(reference, measure);
    const common = [...own.keys()].filter((i) => others?.has(i));
    const percent = measureOf(measure).unit === "%";
    const differences = common.map((i) => own.get(i)! - others!.get(i)!);
    return {
      measure,
      model: estimate([...own.values()], { percent }),
      ...(others && others.size > 0 && { reference: estimate([...others.values()], { percent }) }),
      ...(differences.length > 0 && { difference: estimate(differences) }),
    };
  });
}

/** The mean over a prompt's seeds, by the prompt's index. */
function perPrompt(all: readonly Measured[], measure: string): Map<number, number> {
  const means = all.flatMap(({ measures }, i) => {
    const numbers = measures.get(measure);
    return numbers ? [[i, mean(numbers)] as const] : [];
  });
  return new Map(means);
}

/** The Fréchet distance of CLIP features, or why there is none. */
export type Distance = { value: number; images: readonly [number, number] } | { reason: string };

export function distance(a: readonly Float32Array[], b: readonly Float32Array[]): Distance {
  if (enoughRows(a) && enoughRows(b)) return { value: frechetDistance(a, b), images: [a.length, b.length] };
  const width = a[0]!.length;
  return {
    reason:
      `needs more than ${width} images on either side, as many as a feature has numbers, got ${a.length} and ` +
      `${b.length}: with fewer the covariances are not known, and the distance says how many images there were`,
  };
}

/** What the evaluator saw in place of what a prompt named, most often first. */
export type Confusion = { label: string; asked: string; seen: string; images: number };

export function confusions(
  targets: readonly Readonly<Record<string, string>>[],
  measured: readonly Measured[],
): Confusion[] {
  const counts = new Map<string, Confusion>();
  for (const [i, { seen = [] }] of measured.entries())
    for (const one of seen)
      for (const [label, asked] of Object.entries(targets[i]!)) {
        if (one[label] === asked) continue;
        const key = [label, asked, one[label]].join("\t");
        const known = counts.get(key) ?? { label, asked, seen: one[label]!, images: 0 };
        counts.set(key, { ...known, images: known.images + 1 });
      }
  return [...counts.values()].sort((a, b) => b.images - a.images);
}
