/** @file A flag with settings of its own, such as `--consistency w-min=3,loss-type=l2`. */

import { InvalidRequest } from "../errors.js";

/** "wMin" -> "w-min" */
export const kebabCase = (name: string): string => name.replace(/[A-Z]/g, (c) => `-${c.toLowerCase()}`);
const camelCase = (name: string) => name.replace(/-(\w)/g, (_, letter: string) => letter.toUpperCase());

const valueIn = (text: string) => (text === "none" ? null : Number.isNaN(Number(text)) ? text : Number(text));

/**
 * Settings by their names in camelCase: numbers where they read as such, null for "none", else texts; a list where further
 * values follow, as in `targets=to_q,to_v`. InvalidRequest, named by `flag`, for what is not NAME=VALUE.
 */
export function settingsOption(flag: string): (text: string) => Record<string, unknown> {
  return (text) => {
    const settings: Record<string, unknown> = {};
    let last: string | undefined;
    for (const one of text.split(",")) {
      if (last !== undefined && /^\s*[\w.-]+\s*$/.test(one)) {
        settings[last] = [settings[last], valueIn(one.trim())].flat();
        continue;
      }
      const [, name, value] = /^\s*([\w-]+)\s*=\s*(.*?)\s*$/.exec(one) ?? [];
      if (name === undefined || value === undefined || value === "")
        throw new InvalidRequest(flag, text, `must be written as NAME=VALUE,NAME=VALUE, got "${one}".`);
      const key = camelCase(name);
      if (Object.hasOwn(settings, key))
        throw new InvalidRequest(flag, text, `must give each setting once, got ${name} twice.`);
      settings[key] = valueIn(value);
      last = key;
    }
    return settings;
  };
}
