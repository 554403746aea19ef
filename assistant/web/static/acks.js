// When to tell the daemon how much of an answer was heard.

import { msToSamples } from "./numbers.js";

const EVERY_SAMPLES = msToSamples(200);

/** Thins playback positions out to the acknowledgements that are worth a message. */
export class AckScheduler {
  #answer = null;
  #sent = -1;

  /**
   * Takes a position; returns {answer, played} when it should be acknowledged, else null.
   * The first sound, the end and a cut are always told, the rest every 200 ms; nothing is told twice.
   */
  next(answer, played, last = false) {
    const fresh = answer !== this.#answer;
    if (fresh) {
      this.#answer = answer;
      this.#sent = -1;
    }
    const due = last ? played > this.#sent : fresh || played - this.#sent >= EVERY_SAMPLES;
    if (!due || played < 0) return null;
    this.#sent = played;
    return { answer, played };
  }
}
