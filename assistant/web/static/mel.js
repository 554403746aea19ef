// The mel frames of answers, looked up by what is being played.

import { MEL_HOP_SAMPLES, N_MELS } from "./numbers.js";

/** Keeps the frames of the last answers; frame t of an answer belongs to its samples t * hop to (t + 1) * hop. */
export class MelTimeline {
  #pieces = new Map(); // answer -> [{first, frames}]

  /** Adds frames, row-major bytes, that begin at a sample of an answer. */
  add(answer, start, bytes) {
    if (!this.#pieces.has(answer)) {
      if (this.#pieces.size > 1) this.#pieces.delete(this.#pieces.keys().next().value);
      this.#pieces.set(answer, []);
    }
    this.#pieces.get(answer).push({ first: Math.round(start / MEL_HOP_SAMPLES), frames: bytes });
  }

  /** The frame at a sample of an answer, or null. */
  at(answer, sample) {
    const frame = Math.floor(sample / MEL_HOP_SAMPLES);
    for (const piece of this.#pieces.get(answer) ?? []) {
      const row = frame - piece.first;
      if (row >= 0 && (row + 1) * N_MELS <= piece.frames.length) {
        return piece.frames.subarray(row * N_MELS, (row + 1) * N_MELS);
      }
    }
    return null;
  }
}
