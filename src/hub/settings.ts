/** @file The Hub's endpoint, proxies, cache folder and token, from the environment variables of Python's client. */

import { homedir } from "node:os";
import { ModelError } from "../errors.js";
import { ifThere, readFile, systemCode } from "../files/file-system.js";
import path from "../files/path.js";
import { decodeText } from "../files/text-file.js";
import { type Proxies, proxiesOf } from "./proxy.js";

export type Environment = Readonly<Record<string, string | undefined>>;

export type HubSettings = {
  /** Without a slash at the end. */
  endpoint: string;
  /** The folder that holds `models--owner--name`. */
  cache: string;
  token: string | undefined;
  /** No requests are made. */
  offline: boolean;
  proxies: Proxies;
};

/** Reads HTTP_PROXY, HTTPS_PROXY, NO_PROXY, HF_ENDPOINT, HF_HOME, HF_HUB_CACHE, HF_HUB_OFFLINE, HF_TOKEN and their older names; ModelError. */
export async function hubSettings(environment: Environment = process.env): Promise<HubSettings> {
  const home = hubHome(environment);
  return {
    endpoint: (environment.HF_ENDPOINT || "https://huggingface.co").replace(/\/+$/, ""),
    cache: cacheFolder(environment),
    token:
      givenToken(environment) ?? (await storedToken(environment.HF_TOKEN_PATH || path.join(home, "token"))),
    offline: isTrue(environment.HF_HUB_OFFLINE || environment.TRANSFORMERS_OFFLINE),
    proxies: proxiesOf(environment),
  };
}

/** The Hub's cache: $HF_HUB_CACHE, $HF_HOME/hub or ~/.cache/huggingface/hub. */
export function cacheFolder(environment: Environment = process.env): string {
  const given = environment.HF_HUB_CACHE || environment.HUGGINGFACE_HUB_CACHE;
  return given ? fromHome(given) : path.join(hubHome(environment), "hub");
}

function hubHome(environment: Environment): string {
  const caches = environment.XDG_CACHE_HOME || path.join(homedir(), ".cache");
  return fromHome(environment.HF_HOME || path.join(caches, "huggingface"));
}

const fromHome = (folder: string): string => path.resolve(folder.replace(/^~(?=$|[\\/])/, homedir()));

const isTrue = (value: string | undefined): boolean => /^(1|on|yes|true)$/i.test(value ?? "");

function givenToken(environment: Environment): string | undefined {
  return clean(environment.HF_TOKEN) ?? clean(environment.HUGGING_FACE_HUB_TOKEN);
}

/** The token file's text, in UTF-8 or UTF-16; undefined where there is no file. */
async function storedToken(file: string): Promise<string | undefined> {
  const bytes = await ifThere(() => readFile(fromHome(file))).catch((error: unknown) => {
    const problem = `must hold the Hub's token, got ${systemCode(error)}. Set HF_TOKEN instead.`;
    throw new ModelError(file, problem);
  });
  if (bytes === undefined) return undefined;
  const decoded = decodeText(bytes);
  if ("fault" in decoded) throw new ModelError(file, decoded.fault);
  return clean(decoded.text);
}

// A line break is not allowed in a header.
const clean = (token: string | undefined): string | undefined => token?.replace(/\s+/g, "") || undefined;
