// Microphone and loudspeaker of the browser.

import { SAMPLE_RATE_HZ } from "./numbers.js";

const CONSTRAINTS = { channelCount: 1, echoCancellation: true, noiseSuppression: true, autoGainControl: true };

/** Milliseconds on performance.now()'s clock at a time of an audio context. */
const toPageTime = (context, time) => performance.now() + (time - context.currentTime) * 1000;

/** Plays answers. `report` gets {kind, answer, played, timeMs}, timeMs being when it was audible. */
export class Speaker {
  #context;
  #node;
  #report;
  #analyser;
  #bins;
  #flushed = [];

  constructor(context, report) {
    this.#context = context;
    this.#report = report;
    this.#node = new AudioWorkletNode(context, "playback", { numberOfInputs: 0, outputChannelCount: [1] });
    this.#node.port.onmessage = ({ data }) => this.#receive(data);
    this.#node.connect(context.destination);
    this.#analyser = context.createAnalyser();
    this.#analyser.fftSize = 1024;
    this.#node.connect(this.#analyser);
    this.#bins = new Uint8Array(this.#analyser.frequencyBinCount);
  }

  /** Opens the loudspeaker; browsers allow it after the first press of a button. */
  static async open(report) {
    const context = new AudioContext({ sampleRate: SAMPLE_RATE_HZ, latencyHint: "interactive" });
    await context.audioWorklet.addModule("playback-worklet.js");
    await context.resume();
    return new Speaker(context, report);
  }

  /** What is heard now, for drawing: bytes per frequency bin. */
  spectrum() {
    this.#analyser.getByteFrequencyData(this.#bins);
    return this.#bins;
  }

  /** Hertz between two bins of `spectrum()`. */
  get binHz() {
    return this.#context.sampleRate / this.#analyser.fftSize;
  }

  push(answer, start, samples) {
    this.#node.port.postMessage({ kind: "push", answer, start, samples }, [samples.buffer]);
  }

  end(answer) {
    this.#node.port.postMessage({ kind: "end", answer });
  }

  /** Holds the sound where it is, or lets it go on. */
  pause(on) {
    this.#node.port.postMessage({ kind: "pause", on });
  }

  /** Silences the loudspeaker at once; resolves to {answer, played} of what was cut, or null. */
  flush() {
    return new Promise((resolve) => {
      this.#flushed.push(resolve);
      this.#node.port.postMessage({ kind: "flush" });
    });
  }

  /** Plays through another device; false where the browser cannot choose. */
  async useDevice(deviceId) {
    if (typeof this.#context.setSinkId !== "function") return false;
    await this.#context.setSinkId(deviceId);
    return true;
  }

  #receive(message) {
    if (message.kind === "flushed") {
      this.#flushed.shift()(message.cut);
      return;
    }
    const latencyMs = (this.#context.outputLatency || this.#context.baseLatency || 0) * 1000;
    this.#report({ ...message, timeMs: toPageTime(this.#context, message.time) + latencyMs });
  }
}

/** The microphone. `receive` gets {pcm, level, timeMs} every 20 ms. */
export class Microphone {
  #context;
  #stream;
  #analyser;
  #bins;

  constructor(context, stream, receive) {
    this.#context = context;
    this.#stream = stream;
    const source = context.createMediaStreamSource(stream);
    const node = new AudioWorkletNode(context, "capture", { numberOfOutputs: 0, channelCount: 1, channelCountMode: "explicit" });
    node.port.onmessage = ({ data }) => {
      receive({ pcm: data.pcm, level: data.level, timeMs: toPageTime(context, data.time) });
    };
    this.#analyser = context.createAnalyser();
    this.#analyser.fftSize = 1024;
    this.#analyser.smoothingTimeConstant = 0.5;
    this.#bins = new Uint8Array(this.#analyser.frequencyBinCount);
    source.connect(node);
    source.connect(this.#analyser);
  }

  /** Opens a microphone with the browser's echo cancellation. Rejects with the browser's error. */
  static async open(deviceId, receive) {
    const device = deviceId ? { deviceId: { exact: deviceId } } : {};
    const stream = await navigator.mediaDevices.getUserMedia({ audio: { ...CONSTRAINTS, ...device } });
    try {
      return await Microphone.#attach({ sampleRate: SAMPLE_RATE_HZ }, stream, receive);
    } catch (error) {
      if (error.name !== "NotSupportedError") throw error;
      return Microphone.#attach({}, stream, receive); // Firefox opens a microphone at the device's rate only
    }
  }

  static async #attach(options, stream, receive) {
    const context = new AudioContext({ ...options, latencyHint: "interactive" });
    try {
      await context.audioWorklet.addModule("capture-worklet.js");
      await context.resume();
      return new Microphone(context, stream, receive);
    } catch (error) {
      await context.close();
      throw error;
    }
  }

  /** What the microphone hears now, for drawing: bytes per frequency bin. */
  spectrum() {
    this.#analyser.getByteFrequencyData(this.#bins);
    return this.#bins;
  }

  /** Hertz between two bins of `spectrum()`. */
  get binHz() {
    return this.#context.sampleRate / this.#analyser.fftSize;
  }

  /** Calls back when the device goes away. */
  onLost(callback) {
    this.#stream.getAudioTracks()[0].addEventListener("ended", callback);
  }

  set muted(value) {
    for (const track of this.#stream.getAudioTracks()) track.enabled = !value;
  }

  async close() {
    for (const track of this.#stream.getTracks()) track.stop();
    await this.#context.close();
  }
}
