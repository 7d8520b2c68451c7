/** @file A mask drawn as strokes on a canvas, with undo. Independent of the rest of the page. */

export type Point = { x: number; y: number };
export type Brush = { size: number; erase: boolean };

const maxUndo = 20;
/** Only for display: the mask is where the canvas is opaque. */
const maskColour = "#e0507a";

export class MaskCanvas {
  readonly canvas: HTMLCanvasElement;
  readonly #context: CanvasRenderingContext2D;
  readonly #undo: ImageData[] = [];

  constructor(canvas: HTMLCanvasElement) {
    this.canvas = canvas;
    this.#context = canvas.getContext("2d", { willReadFrequently: true })!;
  }

  get canUndo(): boolean {
    return this.#undo.length > 0;
  }

  /** Continues an earlier mask, white where the image changes. */
  async load(mask: Blob): Promise<void> {
    const { width, height } = this.canvas;
    this.#context.drawImage(await createImageBitmap(mask), 0, 0, width, height);
    const pixels = this.#pixels();
    for (let at = 0; at < pixels.data.length; at += 4) pixels.data[at + 3] = pixels.data[at]!;
    this.#context.putImageData(pixels, 0, 0);
    this.#tint();
  }

  /** Call before each change that `undo` reverts. */
  pushUndo(): void {
    this.#undo.push(this.#pixels());
    if (this.#undo.length > maxUndo) this.#undo.shift();
  }

  undo(): void {
    const before = this.#undo.pop();
    if (before) this.#context.putImageData(before, 0, 0);
  }

  clear(): void {
    this.pushUndo();
    this.#context.clearRect(0, 0, this.canvas.width, this.canvas.height);
  }

  invert(): void {
    this.pushUndo();
    const pixels = this.#pixels();
    for (let at = 3; at < pixels.data.length; at += 4) pixels.data[at] = 255 - pixels.data[at]!;
    this.#context.putImageData(pixels, 0, 0);
    this.#tint();
  }

  stroke(from: Point, to: Point, { size, erase }: Brush): void {
    const context = this.#context;
    context.globalCompositeOperation = erase ? "destination-out" : "source-over";
    context.strokeStyle = maskColour;
    context.lineWidth = size;
    context.lineCap = "round";
    context.lineJoin = "round";
    context.beginPath();
    context.moveTo(from.x, from.y);
    context.lineTo(to.x, to.y + 0.01);
    context.stroke();
    context.globalCompositeOperation = "source-over";
  }

  /** White on black, as the server expects it; undefined if nothing was drawn. */
  async mask(): Promise<Blob | undefined> {
    const pixels = this.#pixels();
    let any = false;
    for (let at = 0; at < pixels.data.length; at += 4) {
      const on = pixels.data[at + 3]! > 127;
      any ||= on;
      pixels.data.fill(on ? 255 : 0, at, at + 3);
      pixels.data[at + 3] = 255;
    }
    if (!any) return undefined;
    const copy = new OffscreenCanvas(this.canvas.width, this.canvas.height);
    copy.getContext("2d")!.putImageData(pixels, 0, 0);
    return copy.convertToBlob({ type: "image/png" });
  }

  #pixels(): ImageData {
    return this.#context.getImageData(0, 0, this.canvas.width, this.canvas.height);
  }

  #tint(): void {
    this.#context.globalCompositeOperation = "source-in";
    this.#context.fillStyle = maskColour;
    this.#context.fillRect(0, 0, this.canvas.width, this.canvas.height);
    this.#context.globalCompositeOperation = "source-over";
  }
}
