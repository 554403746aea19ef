// A canvas that keeps as many pixels as it shows.

/** Fits a canvas to its place; returns {context, width, height} in CSS pixels, or null while it is hidden. */
export function fitCanvas(canvas) {
  const { clientWidth: width, clientHeight: height } = canvas;
  if (!width || !height) return null;
  const ratio = Math.min(devicePixelRatio || 1, 2);
  const [pixelsWide, pixelsHigh] = [Math.round(width * ratio), Math.round(height * ratio)];
  const resized = canvas.width !== pixelsWide || canvas.height !== pixelsHigh;
  if (resized) {
    canvas.width = pixelsWide;
    canvas.height = pixelsHigh;
  }
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  return { context, width, height, ratio, resized };
}
