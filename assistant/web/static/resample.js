// A streaming resampler, for browsers that cannot open the microphone at the rate of the wire.
// Polyphase windowed sinc (Smith, "Digital Audio Resampling", ccrma.stanford.edu/~jos/resample).

const ZERO_CROSSINGS = 16; // each side of the kernel's centre, at the lower of the two rates
const ROLL_OFF = 0.94; // of the lower Nyquist frequency: leaves the window its transition band

const gcd = (a, b) => (b ? gcd(b, a % b) : a);

/** Weights of one fractional delay in [0, 1), normalised so that silence and constants stay what they are. */
function kernel(fraction, halfTaps, cutoff) {
  const weights = new Float32Array(2 * halfTaps);
  let sum = 0;
  for (let tap = 0; tap < weights.length; tap += 1) {
    const distance = tap - halfTaps + 1 - fraction;
    const x = Math.PI * cutoff * distance;
    const sinc = Math.abs(x) < 1e-9 ? 1 : Math.sin(x) / x;
    const window = 0.5 + 0.5 * Math.cos((Math.PI * distance) / halfTaps);
    weights[tap] = sinc * window;
    sum += weights[tap];
  }
  return weights.map((weight) => weight / sum);
}

/** Turns samples at one rate into samples at another, block by block, the same as in one block. */
export class Resampler {
  #up;
  #down;
  #phases;
  #halfTaps;
  #tail; // the input that later outputs still need
  #next = 0; // position of the next output, in 1/up input samples after the tail's first usable centre

  constructor(fromHz, toHz) {
    const divisor = gcd(fromHz, toHz);
    this.#up = toHz / divisor;
    this.#down = fromHz / divisor;
    const cutoff = ROLL_OFF * Math.min(1, toHz / fromHz);
    this.#halfTaps = Math.ceil(ZERO_CROSSINGS / Math.min(1, toHz / fromHz));
    this.#phases = Array.from({ length: this.#up }, (_, phase) => kernel(phase / this.#up, this.#halfTaps, cutoff));
    this.#tail = new Float32Array(this.#halfTaps - 1);
  }

  /** Adds input; returns the output that it completes (it lags by half a kernel: 0.7 ms at 48 kHz). */
  push(block) {
    const input = new Float32Array(this.#tail.length + block.length);
    input.set(this.#tail);
    input.set(block, this.#tail.length);
    const output = [];
    const taps = 2 * this.#halfTaps;
    let first = Math.floor(this.#next / this.#up);
    while (first + taps <= input.length) {
      const weights = this.#phases[this.#next % this.#up];
      let sum = 0;
      for (let tap = 0; tap < taps; tap += 1) sum += weights[tap] * input[first + tap];
      output.push(sum);
      this.#next += this.#down;
      first = Math.floor(this.#next / this.#up);
    }
    const used = Math.min(first, input.length);
    this.#tail = input.slice(used);
    this.#next -= used * this.#up;
    return Float32Array.from(output);
  }
}
