/**
 * @file Turns ONNX Runtime's telemetry off. By default 1.30 writes a device id and events for Microsoft into the user's
 * cache folder.
 */

/**
 * To be called before the first session, in the main thread or in a thread that shares its environment: the native
 * library does not see a thread's copy. A value that the user has set is kept.
 */
export function disableTelemetry(): void {
  process.env.ORT_DISABLE_TELEMETRY ??= "1";
}
