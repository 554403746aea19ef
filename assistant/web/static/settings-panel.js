// The settings sheet: preferences in, changes out.

import { savePreferences } from "./preferences.js";

const DEVICE_KINDS = { microphone: "audioinput", speaker: "audiooutput", camera: "videoinput" };
const FALLBACK = { microphone: "Standard microphone", speaker: "Standard speaker", camera: "Standard camera" };

/** Fills the sheet's fields and tells `changed(name)` when one was changed. */
export class SettingsPanel {
  #form;
  #preferences;

  constructor(dialog, preferences, changed) {
    this.#form = dialog.querySelector("form");
    this.#preferences = preferences;
    this.#show();
    this.#form.addEventListener("input", ({ target }) => {
      if (!(target.name in preferences)) return;
      preferences[target.name] = valueOf(target);
      savePreferences(preferences);
      this.#show();
      changed(target.name);
    });
  }

  /** Lists the devices; browsers tell their names only once one of their kind was allowed. */
  async listDevices() {
    const devices = (await navigator.mediaDevices?.enumerateDevices()) ?? [];
    for (const [name, kind] of Object.entries(DEVICE_KINDS)) {
      const select = this.#form.elements[name];
      const found = devices.filter((device) => device.kind === kind && device.deviceId && device.deviceId !== "default");
      const options = found.map((device, at) => new Option(device.label || `${kind} ${at + 1}`, device.deviceId));
      select.replaceChildren(new Option(FALLBACK[name], ""), ...options);
      select.value = found.some((device) => device.deviceId === this.#preferences[name]) ? this.#preferences[name] : "";
      select.disabled = name === "speaker" && typeof AudioContext.prototype.setSinkId !== "function";
    }
  }

  #show() {
    const { elements } = this.#form;
    for (const [name, value] of Object.entries(this.#preferences)) {
      const field = elements[name];
      if (field?.type === "checkbox") field.checked = value;
      else if (field && !(name in DEVICE_KINDS)) field.value = String(value);
    }
    elements["rate-value"].value = `${this.#preferences.rate.toFixed(2).replace(/0$/, "")}×`;
    this.#form.querySelector("#patience-row").hidden = this.#preferences.turns === "hold";
  }
}

function valueOf(field) {
  if (field.type === "checkbox") return field.checked;
  return field.type === "range" ? Number(field.value) : field.value;
}
