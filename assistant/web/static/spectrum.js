// Spectra for drawing: the assistant's mel frames and the microphone's bins, on one scale.

import { N_MELS } from "./numbers.js";

// Shares of full scale below which speech shows nothing, at the lowest and at the highest band: vowels stand at
// 0.85 to 1 below 4 kHz, breath and the hiss of a voice at 0.75 to 0.85 above it.
const LOW_FLOOR = 0.66;
const HIGH_FLOOR = 0.8;
const HIGHEST_HZ = 12_000; // the mel scale of the wire ends at half its sample rate

const melFromHz = (hz) => 2595 * Math.log10(1 + hz / 700);
const hzFromMel = (mel) => 700 * (10 ** (mel / 2595) - 1);

/** Loudness 0..1 per mel band from a frame's bytes. */
export function bandsFromMel(frame) {
  const bands = new Float32Array(N_MELS);
  for (let band = 0; band < N_MELS; band += 1) {
    const floor = LOW_FLOOR + ((HIGH_FLOOR - LOW_FLOOR) * band) / N_MELS;
    const value = (frame[band] / 255 - floor) / (1 - floor);
    bands[band] = value > 0 ? value * value * (3 - 2 * value) : 0;
  }
  return bands;
}

/** Loudness 0..1 per mel band from an analyser's bytes per bin. */
export function bandsFromBins(bins, binHz) {
  const bands = new Float32Array(N_MELS);
  const top = melFromHz(HIGHEST_HZ);
  for (let band = 0; band < N_MELS; band += 1) {
    const low = Math.floor(hzFromMel((top * band) / N_MELS) / binHz);
    const high = Math.max(low + 1, Math.ceil(hzFromMel((top * (band + 1)) / N_MELS) / binHz));
    let loudest = 0;
    for (let bin = low; bin < Math.min(high, bins.length); bin += 1) loudest = Math.max(loudest, bins[bin]);
    const value = Math.max(0, loudest / 255 - 0.3) / 0.7;
    bands[band] = value * value;
  }
  return bands;
}

/** Follows a spectrum: quickly up, slowly down. Changes `held` in place. */
export function follow(held, bands, rise = 0.55, fall = 0.14) {
  for (let band = 0; band < held.length; band += 1) {
    const target = bands ? bands[band] : 0;
    held[band] += (target - held[band]) * (target > held[band] ? rise : fall);
  }
  return held;
}

/** Mean of the louder half: how strong a spectrum is as a whole, 0..1. */
export function strength(bands) {
  let sum = 0;
  for (const value of bands) sum += value * value;
  return Math.sqrt(sum / bands.length);
}
