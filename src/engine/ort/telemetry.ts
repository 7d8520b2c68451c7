/**
 * @file Keeps ONNX Runtime from recording its use: unless told not to, 1.30 keeps a device id and events for its makers
 * in the user's cache folder.
 */

/**
 * To be called before the first session, in the process's main thread or in one that shares its environment: a thread
 * with a copy does not reach the native library. Whoever sets the variable is left their choice.
 */
export function silenceTelemetry(): void {
  process.env.ORT_DISABLE_TELEMETRY ??= "1";
}
