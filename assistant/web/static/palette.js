// Colours of the theme, as numbers that a drawing can mix.

const NAMES = ["viva", "viva-deep", "user", "ink", "paper", "faint"];

/** Red, green, blue of a "#rrggbb". */
export const rgb = (hex) => [1, 3, 5].map((at) => Number.parseInt(hex.slice(at, at + 2), 16));

/** A colour between two, `share` of the way to the second. */
export const mix = (from, to, share) => from.map((value, at) => value + (to[at] - value) * share);

/** CSS text of a colour. */
export const css = (colour, alpha = 1) => `rgb(${colour.map(Math.round).join(" ")} / ${alpha})`;

/** The colours that the page's style sheet sets at the moment. */
export function readPalette() {
  const style = getComputedStyle(document.documentElement);
  const colours = Object.fromEntries(NAMES.map((name) => [name, rgb(style.getPropertyValue(`--${name}`).trim())]));
  return { ...colours, dark: document.documentElement.dataset.theme === "dark" };
}
