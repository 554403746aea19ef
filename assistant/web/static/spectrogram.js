// The last seconds of both voices as a scrolling picture, the user's in one colour and the assistant's in the other.

import { fitCanvas } from "./canvas.js";
import { N_MELS } from "./numbers.js";

const COLUMN_MS = 20;
const COLUMN_PX = 2;
const SHOWN_BANDS = 88;

/** Adds a column every 20 ms, so that silence between two voices shows as a gap of its true length. */
export class Spectrogram {
  #canvas;
  #lastMs = null;

  constructor(canvas) {
    this.#canvas = canvas;
  }

  /** Draws up to `nowMs`. `bands` is what sounds now, or null. */
  draw(colour, bands, nowMs) {
    const place = fitCanvas(this.#canvas);
    if (!place) return;
    this.#lastMs ??= nowMs;
    const columns = Math.min(Math.floor((nowMs - this.#lastMs) / COLUMN_MS), 50);
    if (columns < 1) return;
    this.#lastMs = nowMs - ((nowMs - this.#lastMs) % COLUMN_MS);
    const { context, ratio } = place;
    const shift = Math.round(columns * COLUMN_PX * ratio);
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.globalCompositeOperation = "copy";
    context.drawImage(this.#canvas, -shift, 0);
    context.globalCompositeOperation = "source-over";
    context.putImageData(this.#column(colour, bands, shift), this.#canvas.width - shift, 0);
  }

  #column(colour, bands, width) {
    const { height } = this.#canvas;
    const image = new ImageData(width, height);
    for (let y = 0; y < height; y += 1) {
      const band = Math.floor(((height - 1 - y) / height) * SHOWN_BANDS);
      const alpha = bands ? Math.min(255, 255 * bands[Math.min(band, N_MELS - 1)] ** 0.7) : 0;
      const edge = y === height - 1 ? Math.max(alpha, 60) : alpha;
      for (let x = 0; x < width; x += 1) image.data.set([...colour, edge], 4 * (y * width + x));
    }
    return image;
  }
}
