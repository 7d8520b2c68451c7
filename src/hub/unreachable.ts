/** @file The error for a Hub that cannot be asked. */

import { ModelError } from "../errors.js";

/** The network or the server is down: files that were downloaded before may be used instead. */
export class HubUnreachable extends ModelError {}
