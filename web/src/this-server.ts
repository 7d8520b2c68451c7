/** @file The page's backend: the server it was loaded from, with the API key that the visitor entered. */

import type { Backend } from "./backend.js";
import { HttpBackend } from "./http-backend.js";
import { key } from "./key.js";

export const backend: Backend = new HttpBackend(() => key.value);
