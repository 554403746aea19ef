// The speaking figure: a core with a ribbon of sound around it, low notes at the bottom and high ones at the top.

import { fitCanvas } from "./canvas.js";
import { css, mix } from "./palette.js";
import { follow, strength } from "./spectrum.js";
import { N_MELS } from "./numbers.js";

const POINTS = 72; // of each ribbon
const LAYERS = 6; // echoes of the ribbon, each some frames older than the last
const LAYER_FRAMES = 4;
const SMOOTHED = 2; // bands each side that count into a point
const TINT_S = 0.16; // in which colours cross over by about two thirds
const FIRST_BAND = 5; // voices begin here: below their pitch there is nothing to see
const LAST_BAND = 80; // speech leaves the uppermost bands nearly empty
const CORE = 0.235; // radii, as shares of the canvas
const RING = 0.275;
const REACH = 0.185;

/** Which colours a state has: the first at the bottom, the second at the top. */
function colours(palette, state) {
  const { viva, user, faint, ink } = palette;
  const deep = palette["viva-deep"];
  const far = palette.dark ? [112, 138, 255] : [48, 78, 190]; // a blue beyond the user's green
  const table = {
    listening: [user, mix(user, far, 0.35)],
    hearing: [user, mix(user, far, 0.65)],
    thinking: [mix(deep, far, 0.35), deep],
    speaking: [viva, deep],
    interrupted: [user, mix(user, far, 0.5)],
    reconnecting: [faint, mix(faint, ink, 0.2)],
    connecting: [faint, viva],
    muted: [faint, mix(faint, ink, 0.2)],
  };
  return table[state] ?? [viva, deep];
}

/** Mean loudness about a band, so that single harmonics make no thorns. */
function around(bands, band) {
  let sum = 0;
  for (let at = band - SMOOTHED; at <= band + SMOOTHED; at += 1) sum += bands[Math.max(0, Math.min(N_MELS - 1, at))];
  return sum / (2 * SMOOTHED + 1);
}

/** Radius of the ribbon at each point, as a share of its reach. */
export function ribbon(bands, state, time) {
  const radii = new Float32Array(POINTS);
  for (let point = 0; point < POINTS; point += 1) {
    const angle = (2 * Math.PI * point) / POINTS; // from the bottom, clockwise
    const height = Math.abs(Math.PI - angle) / Math.PI; // 1 at the bottom, 0 at the top
    const place = FIRST_BAND + (1 - height) * (LAST_BAND - FIRST_BAND);
    const low = Math.floor(place);
    const sound = around(bands, low) + (around(bands, low + 1) - around(bands, low)) * (place - low);
    let swell = 0.05 * Math.sin(3 * angle + time * 0.9) + 0.035 * Math.sin(5 * angle - time * 1.3);
    if (state === "thinking" || state === "connecting") {
      const away = Math.atan2(Math.sin(angle - time * 2.6), Math.cos(angle - time * 2.6));
      swell += 0.42 * Math.exp(-(away * away) / 0.35);
    }
    radii[point] = sound + swell + 0.06;
  }
  return radii;
}

/** Draws the figure into its canvas. */
export class Orb {
  #canvas;
  #held = new Float32Array(N_MELS);
  #echoes = [];
  #tint = null;
  #lastS = 0;
  #still;

  constructor(canvas, still) {
    this.#canvas = canvas;
    this.#still = still; // {matches}: the person asked for less motion
  }

  /** Draws one frame. `bands` is what sounds now, or null; `timeS` is any steady clock. */
  draw(palette, state, bands, timeS) {
    const place = fitCanvas(this.#canvas);
    if (!place) return;
    const calm = this.#still.matches;
    follow(this.#held, bands, calm ? 0.12 : 0.5, calm ? 0.06 : 0.13);
    this.#echoes.unshift(this.#held.slice());
    this.#echoes.length = Math.min(this.#echoes.length, LAYERS * LAYER_FRAMES);
    this.#blend(palette, state, timeS);
    const { context, width, height } = place;
    context.clearRect(0, 0, width, height);
    context.save();
    context.translate(width / 2, height / 2);
    this.#glow(context, width, palette);
    const layers = calm ? 1 : LAYERS;
    for (let layer = layers - 1; layer >= 0; layer -= 1) {
      const echo = this.#echoes[Math.min(layer * LAYER_FRAMES, this.#echoes.length - 1)];
      this.#ribbon(context, width, echo, { layer, state, time: calm ? 0 : timeS, dark: palette.dark });
    }
    this.#core(context, width, palette);
    context.restore();
  }

  #blend(palette, state, timeS) {
    const wanted = colours(palette, state);
    const share = 1 - Math.exp((this.#lastS - timeS) / TINT_S);
    this.#tint = this.#tint ? this.#tint.map((colour, at) => mix(colour, wanted[at], share)) : wanted;
    this.#lastS = timeS;
  }

  #glow(context, size, palette) {
    const level = strength(this.#held);
    const glow = context.createRadialGradient(0, 0, size * CORE, 0, 0, size * 0.5);
    glow.addColorStop(0, css(this.#tint[0], (palette.dark ? 0.22 : 0.15) + 0.25 * level));
    glow.addColorStop(1, css(this.#tint[1], 0));
    context.fillStyle = glow;
    context.fillRect(-size / 2, -size / 2, size, size);
  }

  #ribbon(context, size, bands, { layer, state, time, dark }) {
    const radii = ribbon(bands, state, time - layer * 0.22);
    const lean = layer / LAYERS;
    const points = Array.from(radii, (value, at) => {
      const angle = (2 * Math.PI * at) / POINTS + Math.PI / 2 + lean * 0.25 * Math.sin(time * 0.4);
      const radius = size * (RING + 0.008 * layer + REACH * value * (1 - 0.3 * lean));
      return [radius * Math.cos(angle), radius * Math.sin(angle)];
    });
    const fill = context.createLinearGradient(0, size * 0.4, 0, -size * 0.4);
    const alpha = (dark ? 0.3 : 0.26) * (1 - 0.7 * lean);
    fill.addColorStop(0, css(this.#tint[0], alpha));
    fill.addColorStop(1, css(this.#tint[1], alpha));
    context.fillStyle = fill;
    smoothPath(context, points);
    context.fill();
    if (layer === 0) {
      context.strokeStyle = css(this.#tint[0], 0.55);
      context.lineWidth = 1.2;
      context.stroke();
    }
  }

  #core(context, size, palette) {
    const radius = size * CORE * (1 + 0.05 * strength(this.#held));
    const [low, high] = this.#tint;
    const white = [255, 255, 255];
    const shade = context.createLinearGradient(-radius * 0.5, radius, radius * 0.5, -radius);
    shade.addColorStop(0, css(mix(low, white, palette.dark ? 0.06 : 0.12)));
    shade.addColorStop(1, css(mix(high, white, palette.dark ? 0.04 : 0.1)));
    context.shadowColor = css(mix(low, high, 0.5), 0.4);
    context.shadowBlur = radius * 0.25;
    context.fillStyle = shade;
    context.beginPath();
    context.arc(0, 0, radius, 0, 2 * Math.PI);
    context.fill();
  }
}

/** A closed curve through the middles between points. */
function smoothPath(context, points) {
  const middle = ([ax, ay], [bx, by]) => [(ax + bx) / 2, (ay + by) / 2];
  context.beginPath();
  context.moveTo(...middle(points.at(-1), points[0]));
  points.forEach((point, at) => context.quadraticCurveTo(...point, ...middle(point, points[(at + 1) % points.length])));
  context.closePath();
}
