/**
 * @file Scripts of AUTOMATIC1111 and its extensions, which clients name in `alwayson_scripts` even where their user has
 * switched them off. None runs here, so only an entry that is known to be off is accepted.
 */

import { InvalidRequest } from "../../errors.js";
import { isObject } from "../../files/json.js";

/** Throws an InvalidRequest that names the first script that would run. */
export function refuseScripts(scripts: unknown): void {
  if (scripts === undefined || scripts === null) return;
  const entries = isObject(scripts) ? Object.entries(scripts) : [["", scripts] as const];
  for (const [name, script] of entries) {
    if (isOff(name, isObject(script) && "args" in script ? script.args : script)) continue;
    const field = name === "" ? "alwayson_scripts" : `alwayson_scripts.${name.slice(0, 100)}`;
    throw new InvalidRequest(
      field,
      undefined,
      "is not supported by this server. Switch it off, or leave it out.",
    );
  }
}

function isOff(name: string, args: unknown): boolean {
  if (args === null || args === undefined) return true;
  if (!Array.isArray(args)) return isObject(args) && Object.keys(args).length === 0;
  const known = switches.find(([names]) => names.test(name))?.[1];
  return args.length === 0 || known?.(args) === true;
}

/** Extensions by title, with or without a version, and what their arguments are when they are off. */
const switches: readonly (readonly [title: RegExp, isOff: (args: readonly unknown[]) => boolean])[] = [
  // A unit is on unless it says otherwise.
  [/^controlnet\b/i, (units) => units.every((unit) => unit === null || at(unit, "enabled") === false)],
  [/^adetailer\b/i, (args) => args[0] === false || detectors(args).every((model) => model === "None")],
  [/^animatediff\b/i, ([first]) => first === false || at(first, "enable") === false],
  [/^(reactor|roop)\b/i, (args) => args[1] === false],
  [
    /^(tiled diffusion|tiled vae|dynamic prompts|regional prompter|refiner|soft inpainting|freeu|hypertile)\b/i,
    ([first]) => first === false,
  ],
  [/^(dynamic thresholding|cutoff|kohya hrfix|selfattentionguidance)\b/i, ([first]) => first === false],
];

const at = (value: unknown, name: string): unknown => (isObject(value) ? value[name] : undefined);

/** The models of ADetailer's tabs; without any it is not known to be off. */
function detectors(args: readonly unknown[]): unknown[] {
  const models = args.filter(isObject).map(({ ad_model }) => ad_model);
  return models.length > 0 ? models : [undefined];
}
