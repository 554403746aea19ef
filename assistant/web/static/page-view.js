// What the page shows of the app: words for its states, notices, buttons.

import { LatencyView } from "./latency-view.js";
import { TranscriptView } from "./transcript-view.js";

const STATES = {
  idle: ["Ready when you are", "Press the circle and speak"],
  connecting: ["Connecting", "One moment"],
  listening: ["Listening", "Say something, or show something"],
  hearing: ["Listening", "Go on, take your time"],
  thinking: ["Thinking", ""],
  speaking: ["Speaking", "Just talk to interrupt"],
  interrupted: ["Go ahead", "You have the floor"],
  muted: ["Viva cannot hear you", "Unmute, press the circle, or write"],
  reconnecting: ["Reconnecting", "The conversation is kept for half a minute"],
};
const HOLD_HINTS = {
  idle: "Hold the circle or the space bar, and speak",
  listening: "Hold the circle or the space bar, and speak",
  muted: "Hold the circle or the space bar, and speak",
  hearing: "Let go when you have finished",
  speaking: "Hold to interrupt",
};
const DEVICE_ERRORS = {
  NotAllowedError: (what) => `The browser does not let this page use the ${what}. Allow it next to the address and try again.`,
  NotFoundError: (what) => `There is no ${what} on this device.`,
  NotReadableError: (what) => `Another program holds the ${what}.`,
  OverconstrainedError: (what) => `The chosen ${what} is gone. Choose another in the settings.`,
};
const NOTICE_MS = 8_000;

const find = (id) => document.getElementById(id);

/** The page's elements and how they follow the app. */
export class PageView {
  cameraVideo = find("camera-view");
  onToken = () => {};
  #app = null;
  #preferences;
  #latency = new LatencyView(find("latency"), find("latency-panel"));
  #transcript = new TranscriptView(find("lines"), find("empty"));
  #shown = null;
  #announced = new Set();

  constructor(preferences) {
    this.#preferences = preferences;
  }

  /** Follows an app. */
  attach(app) {
    this.#app = app;
    this.refresh();
  }

  /** Brings words and buttons in step with the app. */
  refresh() {
    const { state, connected, muted, cameraOn, microphone } = this.#app;
    const hold = this.#preferences.turns === "hold";
    const muting = hold && state === "muted" ? "listening" : state;
    document.body.dataset.state = state;
    document.body.dataset.turns = this.#preferences.turns;
    find("state").textContent = STATES[muting][0];
    find("hint").textContent = (hold && HOLD_HINTS[state]) || STATES[muting][1];
    find("talk-label").textContent = this.#talkLabel(hold, connected && microphone !== null);
    find("talk-icon").setAttribute("href", connected && microphone && !hold ? "#i-stop" : "#i-mic");
    find("mute").disabled = !microphone || hold;
    toggle(find("mute"), muted, muted ? "#i-mic-off" : "#i-mic", muted ? "Unmute the microphone" : "Mute the microphone");
    toggle(find("camera-toggle"), cameraOn, cameraOn ? "#i-cam" : "#i-cam-off", cameraOn ? "Hide the camera from Viva" : "Show the camera to Viva");
    find("camera").hidden = !cameraOn;
    find("stop").disabled = state !== "speaking" && state !== "thinking";
    find("spectrogram").hidden = !this.#preferences.mel;
    if (muting !== this.#shown && this.#shown !== null) this.announce(STATES[muting][0]);
    this.#shown = muting;
  }

  #talkLabel(hold, talking) {
    if (hold) return "Hold to talk";
    return talking ? "End the conversation" : "Start talking";
  }

  /** Shows a line of the conversation; reads it out to a screen reader once it is complete. */
  line(line) {
    this.#transcript.show(line, this.#app.conversation.captions.lines);
    find("save").disabled = false;
    if (line.done && line.text && line.role !== "user" && !this.#announced.has(line.id)) {
      this.#announced.add(line.id);
      this.announce(line.role === "assistant" ? `Viva: ${line.text}` : line.text);
    }
  }

  /** Says something to screen readers alone. */
  announce(text) {
    find("announce").textContent = text;
  }

  /** A turn was measured. */
  latency(result) {
    this.#latency.measured(result);
  }

  /** The daemon's account of a turn. */
  timing(timing) {
    this.#latency.timed(timing);
  }

  /** The connection changed. */
  connection(status, detail) {
    if (status !== "closed") return;
    if (detail.status === 401) this.onToken();
    else if (detail.status === 403) this.notice("The daemon does not allow this page's address (see its --origin option).");
    else if (detail.reason) this.notice(detail.reason);
  }

  /** A device could not be opened. */
  deviceError(error, what) {
    const words = DEVICE_ERRORS[error.name];
    const unsafe = !window.isSecureContext && !navigator.mediaDevices;
    if (unsafe) this.notice(`Browsers open the ${what} only on localhost or over https.`);
    else this.notice(words ? words(what) : `The ${what} could not be opened: ${error.message}`);
  }

  /** The daemon refused something. What only a lost race explains is not worth a notice. */
  daemonError(error) {
    if (error.code === "response_cancel_not_active" || error.code === "input_audio_buffer_commit_empty") return;
    this.notice(error.message);
  }

  /** A camera was opened; one that faces the person is shown as a mirror. */
  cameraOpened(settings) {
    find("camera").classList.toggle("mirrored", settings.facingMode !== "environment");
  }

  /** Shows a notice for a while. */
  notice(text) {
    const toast = document.createElement("div");
    const close = Object.assign(document.createElement("button"), { type: "button", className: "icon" });
    close.setAttribute("aria-label", "Dismiss");
    close.append(find("close-icon").content.cloneNode(true));
    toast.className = "toast";
    toast.append(Object.assign(document.createElement("span"), { textContent: text }), close);
    close.addEventListener("click", () => toast.remove());
    find("toasts").replaceChildren(...[...find("toasts").children].slice(-1), toast);
    setTimeout(() => toast.remove(), NOTICE_MS);
  }
}

function toggle(button, pressed, icon, label) {
  button.setAttribute("aria-pressed", String(pressed));
  button.setAttribute("aria-label", label);
  button.title = label;
  button.querySelector("use").setAttribute("href", icon);
}
