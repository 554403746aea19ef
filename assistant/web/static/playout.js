// The jitter buffer: what waits to be played, what was played, and nothing about the browser.
// It runs inside the playback worklet, on the audio thread.

import { msToSamples } from "./numbers.js";

const FIRST_TARGET_SAMPLES = msToSamples(40); // waits for this much before an answer begins
const TARGET_STEP_SAMPLES = msToSamples(40); // and for this much more after each time that it ran dry
const LAST_TARGET_SAMPLES = msToSamples(240);
const FADE_SAMPLES = msToSamples(5); // a cut at full level would click

/** Plays answers one after another and counts the samples of each exactly. */
export class Playout {
  #queue = []; // {answer, start, samples}
  #ended = new Set(); // answers of which no more will come
  #position = null; // {answer, played} of the answer in hand
  #playing = false;
  #target = FIRST_TARGET_SAMPLES;
  #paused = false;
  #fade = null; // samples of the flushed answer that fade out
  #events = [];

  /** Adds the next sound of an answer. `start` counts samples since the answer's first. */
  push(answer, start, samples) {
    const last = this.#queue.at(-1);
    const played = this.#position?.answer === answer ? this.#position.played : 0;
    const end = last?.answer === answer ? last.start + last.samples.length : played;
    const repeated = Math.max(0, end - start); // sent again after a lost connection
    if (repeated >= samples.length) return;
    this.#queue.push({ answer, start: start + repeated, samples: samples.subarray(repeated) });
  }

  /** Tells that an answer is complete: its rest is played however short it is. */
  end(answer) {
    this.#ended.add(answer);
  }

  /** Holds playback where it is, and lets it go on; what waits is kept. */
  set paused(value) {
    this.#paused = value;
  }

  /** Drops everything that waits; returns the answer in hand and how much of it was played, or null. */
  flush() {
    const cut = this.#position && { ...this.#position };
    const head = this.#queue[0];
    if (this.#playing && head && !this.#paused) {
      this.#fade = head.samples.slice(0, FADE_SAMPLES);
      cut.played += this.#fade.length;
    }
    this.#queue = [];
    this.#ended.clear();
    this.#position = null;
    this.#playing = false;
    this.#paused = false;
    this.#target = FIRST_TARGET_SAMPLES;
    return cut;
  }

  /** Samples that wait. */
  get waiting() {
    return this.#queue.reduce((sum, piece) => sum + piece.samples.length, 0);
  }

  /** The answer in hand and the samples of it that were played, or null. */
  get position() {
    return this.#position && { ...this.#position };
  }

  /** What happened since the last call: {kind: "started" | "dry" | "finished", answer, played, offset}. */
  takeEvents() {
    const events = this.#events;
    this.#events = [];
    return events;
  }

  /** Fills a block of output. */
  render(output) {
    output.fill(0);
    let at = this.#renderFade(output);
    if (this.#paused) return;
    while (at < output.length) {
      const head = this.#queue[0];
      if (!head) {
        this.#runDry(at);
        return;
      }
      if (!this.#begin(head, at)) return;
      const part = head.samples.subarray(0, output.length - at);
      output.set(part, at);
      at += part.length;
      head.samples = head.samples.subarray(part.length);
      head.start += part.length;
      this.#position.played = head.start;
      if (!head.samples.length) {
        this.#queue.shift();
        this.#finish(head.answer, at);
      }
    }
  }

  #renderFade(output) {
    if (!this.#fade) return 0;
    const part = this.#fade.subarray(0, output.length);
    for (let at = 0; at < part.length; at += 1) output[at] = part[at] * (1 - (at + 1) / part.length);
    this.#fade = null;
    return part.length;
  }

  #begin(head, offset) {
    if (this.#playing && this.#position.answer === head.answer) return true;
    this.#playing = false; // the answer in hand gave way to another
    if (this.waiting < this.#target && !this.#ended.has(head.answer)) return false;
    this.#playing = true;
    if (this.#position?.answer !== head.answer) {
      this.#position = { answer: head.answer, played: head.start };
      this.#events.push({ kind: "started", answer: head.answer, played: head.start, offset });
    }
    return true;
  }

  #finish(answer, offset) {
    if (this.#queue[0]?.answer === answer || !this.#ended.has(answer)) return;
    this.#events.push({ kind: "finished", answer, played: this.#position.played, offset });
    this.#ended.delete(answer);
    this.#position = null;
    this.#playing = false;
    this.#target = FIRST_TARGET_SAMPLES;
  }

  #runDry(offset) {
    if (!this.#position) return;
    if (this.#ended.has(this.#position.answer)) {
      this.#finish(this.#position.answer, offset);
    } else if (this.#playing) {
      this.#playing = false;
      this.#target = Math.min(this.#target + TARGET_STEP_SAMPLES, LAST_TARGET_SAMPLES);
      this.#events.push({ kind: "dry", ...this.#position, offset });
    }
  }
}
