// Draws the moving parts of the page: the figure and the picture of the sound.

import { Orb } from "./orb.js";
import { readPalette } from "./palette.js";
import { bandsFromBins, bandsFromMel } from "./spectrum.js";
import { Spectrogram } from "./spectrogram.js";

const CALM_FRAME_MS = 60; // between two drawings while nobody speaks
const LIVELY = new Set(["speaking", "hearing", "thinking", "connecting"]);

/** Redraws while the page is seen. */
export class Scene {
  #app;
  #orb;
  #spectrogram;
  #palette = readPalette();
  #lastMs = 0;

  constructor(app, orbCanvas, spectrogramCanvas) {
    this.#app = app;
    this.#orb = new Orb(orbCanvas, matchMedia("(prefers-reduced-motion: reduce)"));
    this.#spectrogram = new Spectrogram(spectrogramCanvas);
    requestAnimationFrame((now) => this.#frame(now));
  }

  /** Reads the colours again after the theme changed. */
  recolour() {
    this.#palette = readPalette();
  }

  #frame(now) {
    requestAnimationFrame((next) => this.#frame(next));
    const { state } = this.#app;
    const pause = LIVELY.has(state) ? 15 : CALM_FRAME_MS; // at most 60 a second, also on faster displays
    if (now - this.#lastMs < pause) return;
    this.#lastMs = now;
    const assistant = this.#assistantBands();
    const bands = assistant ?? this.#userBands(state);
    this.#orb.draw(this.#palette, state, bands, now / 1000);
    if (this.#app.connected) {
      this.#spectrogram.draw(this.#palette[assistant ? "viva" : "user"], bands, now);
    }
  }

  #assistantBands() {
    const { sounding, speaker, mel } = this.#app;
    if (!sounding) return null;
    const frame = mel.at(sounding.answer, sounding.sample);
    return frame ? bandsFromMel(frame) : bandsFromBins(speaker.spectrum(), speaker.binHz);
  }

  #userBands(state) {
    const { microphone, muted } = this.#app;
    if (!microphone || muted || (state !== "listening" && state !== "hearing")) return null;
    return bandsFromBins(microphone.spectrum(), microphone.binHz);
  }
}
