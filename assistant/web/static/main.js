// Wires the page's controls to the app.

import { App } from "./app.js";
import { PageView } from "./page-view.js";
import { loadPreferences } from "./preferences.js";
import { Scene } from "./scene.js";
import { SettingsPanel } from "./settings-panel.js";

const SESSION_PREFERENCES = new Set(["turns", "eagerness", "style", "rate", "mel"]);

const find = (id) => document.getElementById(id);
const preferences = loadPreferences();
const darkSystem = matchMedia("(prefers-color-scheme: dark)");

function applyTheme() {
  const dark = preferences.theme === "dark" || (preferences.theme === "auto" && darkSystem.matches);
  document.documentElement.dataset.theme = dark ? "dark" : "light";
}

applyTheme();
const view = new PageView(preferences);
const app = new App(view, preferences);
view.attach(app);
const scene = new Scene(app, find("orb"), find("spectrogram"));

function recolour() {
  applyTheme();
  scene.recolour();
}

darkSystem.addEventListener("change", recolour);

const settings = new SettingsPanel(find("settings"), preferences, (name) => {
  if (SESSION_PREFERENCES.has(name)) app.reconfigure();
  if (name === "theme") recolour();
  if (name === "microphone") void app.changeMicrophone();
  if (name === "speaker") void app.useSpeaker(preferences.speaker);
  if (name === "camera" && app.cameraOn) void app.setCamera(true);
  view.refresh();
});

const inHoldMode = () => preferences.turns === "hold";
const ofWriting = (target) => target.closest("input, select, textarea, dialog") !== null;
const ofOtherButton = (target) => target.closest("button, a") !== null && target.closest("#talk") === null;

find("talk").addEventListener("click", () => {
  if (inHoldMode()) return;
  if (app.connected && app.microphone) void app.stop();
  else void app.start({ listen: true });
});
find("talk").addEventListener("pointerdown", (event) => {
  if (!inHoldMode() || event.button !== 0) return;
  find("talk").setPointerCapture(event.pointerId);
  void app.hold();
});
for (const type of ["pointerup", "pointercancel"]) find("talk").addEventListener(type, () => app.release());
find("talk").addEventListener("contextmenu", (event) => inHoldMode() && event.preventDefault()); // a long touch

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !document.querySelector("dialog[open]")) app.interrupt();
  const holds = event.code === "Space" && inHoldMode() && !ofWriting(event.target) && !ofOtherButton(event.target);
  if (!holds) return;
  event.preventDefault();
  if (!event.repeat) void app.hold();
});
document.addEventListener("keyup", (event) => {
  if (event.code === "Space") app.release();
});
addEventListener("blur", () => app.release());
addEventListener("online", () => app.network(true));
addEventListener("offline", () => app.network(false));

find("mute").addEventListener("click", () => {
  app.muted = !app.muted;
});
find("camera-toggle").addEventListener("click", () => void app.setCamera(!app.cameraOn));
find("stop").addEventListener("click", () => app.interrupt());

find("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = find("message").value.trim();
  if (!text) return;
  find("message").value = "";
  void app.say(text);
});

find("open-settings").addEventListener("click", () => {
  find("settings").showModal();
  void settings.listDevices();
});
navigator.mediaDevices?.addEventListener("devicechange", () => void settings.listDevices());

find("save").addEventListener("click", () => {
  const url = URL.createObjectURL(new Blob([app.conversation.captions.toText()], { type: "text/plain" }));
  const day = new Date().toISOString().slice(0, 10);
  Object.assign(document.createElement("a"), { href: url, download: `viva-voce-${day}.txt` }).click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
});

view.onToken = () => find("token").showModal();
find("token-cancel").addEventListener("click", () => find("token").close());
find("token").addEventListener("close", () => {
  const field = find("token").querySelector('[name="token"]');
  if (find("token").returnValue === "ok" && field.value) {
    app.useToken(field.value);
    void app.start({ listen: true });
  }
  field.value = "";
  find("token").returnValue = "";
});
