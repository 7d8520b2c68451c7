/** @file The server that this page asks: its own, with the key that the visitor gave. */

import type { Backend } from "./backend.js";
import { HttpBackend } from "./http-backend.js";
import { key } from "./key.js";

export const backend: Backend = new HttpBackend(() => key.value);
