// Voice to voice: from the user's last sound to the first sound of the answer, on this machine's clock.

import { samplesToMs } from "./numbers.js";

const KEPT = 256; // packets whose capture time is remembered: 5 s of 20 ms

/** Remembers when each sent microphone sample was captured. */
export class InputClock {
  #marks = []; // {start, end: samples sent before and after, timeMs: when the last of them was captured}
  #sent = 0;

  /** Notes a packet that ends at `timeMs`. */
  mark(samples, timeMs) {
    const start = this.#sent;
    this.#sent += samples;
    this.#marks.push({ start, end: this.#sent, timeMs });
    if (this.#marks.length > KEPT) this.#marks.shift();
  }

  /** Samples sent so far. */
  get sent() {
    return this.#sent;
  }

  /** When the sample at a position was captured, or null if that is too long ago or yet to come. */
  timeOf(position) {
    const mark = this.#marks.find((candidate) => candidate.end >= position);
    if (!mark || position < this.#marks[0].start) return null;
    return mark.timeMs - samplesToMs(mark.end - position);
  }
}

/** Measures one turn after another. */
export class VoiceToVoice {
  #stoppedMs = null;
  #decidedMs = null;
  #arrivedMs = null;

  /** The user fell silent at `timeMs`; the daemon's decision about it arrived at `decidedMs`. */
  stopped(timeMs, decidedMs) {
    this.#stoppedMs = timeMs;
    this.#decidedMs = decidedMs;
    this.#arrivedMs = null;
  }

  /** A new turn began or the answer was typed for: nothing is being measured. */
  reset() {
    this.#stoppedMs = null;
  }

  /** The first sound of the answer arrived. */
  arrived(timeMs) {
    this.#arrivedMs ??= timeMs;
  }

  /** The first sound was played; returns {totalMs, decisionMs, answerMs, playbackMs}, or null when nothing is measured. */
  played(timeMs) {
    if (this.#stoppedMs === null || this.#arrivedMs === null) return null;
    const result = {
      totalMs: timeMs - this.#stoppedMs,
      decisionMs: this.#decidedMs - this.#stoppedMs,
      answerMs: this.#arrivedMs - this.#decidedMs,
      playbackMs: timeMs - this.#arrivedMs,
    };
    this.reset();
    return result;
  }
}

/** The middle one of some numbers. */
export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}
