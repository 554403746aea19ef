// What the person prefers. Kept by the browser on this device, never sent anywhere but to the daemon's session.

const KEY = "vivavoce.preferences";

export const DEFAULTS = Object.freeze({
  turns: "hands-free", // or "hold"
  eagerness: "auto", // "high", "auto" or "low"
  style: "neutral",
  rate: 1,
  microphone: "",
  speaker: "",
  camera: "",
  theme: "auto", // "light", "dark"
  mel: true,
});

/** Preferences from a stored text; what is missing, unknown or of another kind is as by default. */
export function parsePreferences(text) {
  let stored = {};
  try {
    stored = JSON.parse(text) ?? {};
  } catch {
    stored = {};
  }
  const known = Object.entries(DEFAULTS).map(([name, value]) => {
    const kept = stored[name];
    return [name, typeof kept === typeof value && kept !== null ? kept : value];
  });
  return Object.fromEntries(known);
}

/** The stored preferences, or the defaults where the browser keeps nothing. */
export function loadPreferences() {
  try {
    return parsePreferences(localStorage.getItem(KEY) ?? "{}");
  } catch {
    return { ...DEFAULTS }; // storage is switched off
  }
}

/** Keeps preferences for the next visit, where the browser allows it. */
export function savePreferences(preferences) {
  try {
    localStorage.setItem(KEY, JSON.stringify(preferences));
  } catch {
    return false;
  }
  return true;
}
