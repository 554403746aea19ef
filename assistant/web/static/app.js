// The page's conductor: carries effects out, and joins microphone, loudspeaker, camera and connection.

import { AckScheduler } from "./acks.js";
import { Camera } from "./camera.js";
import * as events from "./client-events.js";
import { Conversation } from "./conversation.js";
import { InputClock, VoiceToVoice } from "./latency.js";
import { Link, browserWorld } from "./link.js";
import { MelTimeline } from "./mel.js";
import { msToSamples, samplesToMs } from "./numbers.js";
import { bytesFromBase64, floatsFromPcm16 } from "./pcm.js";
import { Microphone, Speaker } from "./voice.js";

const KEPT_PACKETS = 150; // of microphone while the connection is away: 3 s
const MOST_BACKLOG_BYTES = 256 * 1024; // a camera frame waits for none of it: it is left out
const SHORTEST_HOLD_MS = 150; // a shorter press of the talk key is a slip
const INTERRUPTED_MS = 700; // for which the page says so

/** One conversation with the daemon. `view` shows what happens; it has no way back but the methods here. */
export class App {
  conversation = new Conversation();
  mel = new MelTimeline();
  microphone = null;
  speaker = null;
  #view;
  #preferences;
  #link;
  #camera;
  #clock = new InputClock();
  #voice = new VoiceToVoice();
  #acks = new AckScheduler();
  #kept = [];
  #muted = false;
  #heldSince = null;
  #token = null;
  #position = null;
  #interruptedUntil = 0;
  #typed = [];

  constructor(view, preferences) {
    this.#view = view;
    this.#preferences = preferences;
    this.#camera = new Camera(view.cameraVideo);
    const on = {
      event: (event) => this.#run(this.conversation.receive(event)),
      status: (status, detail) => this.#connection(status, detail),
      renewed: () => this.#renewed(),
    };
    this.#link = new Link(on, browserWorld);
  }

  /** What the page shows: the conversation's state, or what stands above it. */
  get state() {
    const status = this.#link.status;
    if (status === "closed") return "idle";
    if (status !== "open") return status;
    if (performance.now() < this.#interruptedUntil) return "interrupted";
    const { state } = this.conversation;
    return state === "listening" && (this.#muted || !this.microphone) ? "muted" : state;
  }

  get connected() {
    return this.#link.status !== "closed";
  }

  get muted() {
    return this.#muted;
  }

  get cameraOn() {
    return this.#camera.on;
  }

  get holding() {
    return this.#heldSince !== null;
  }

  /** The answer in the loudspeaker and the sample that sounds now, or null. */
  get sounding() {
    if (!this.#position) return null;
    const { answer, played, timeMs } = this.#position;
    const since = Math.max(0, Math.min(100, performance.now() - timeMs));
    return { answer, sample: played + msToSamples(since) };
  }

  /** Opens loudspeaker, microphone and connection, as far as they are not open. Called from a press of a button. */
  async start({ listen }) {
    try {
      this.speaker ??= await Speaker.open((report) => this.#played(report));
      if (this.#preferences.speaker) await this.useSpeaker(this.#preferences.speaker);
      if (listen && !this.microphone) await this.#openMicrophone();
    } catch (error) {
      this.#view.deviceError(error, "microphone");
      return false;
    }
    if (!this.connected) this.#link.open(this.#token);
    this.#view.refresh();
    return true;
  }

  /** Ends the session and lets go of every device. */
  async stop() {
    this.#run(this.conversation.restarted());
    this.#link.close();
    this.#camera.close();
    await this.#closeMicrophone();
    this.#view.refresh();
  }

  /** Uses another key from the next connection on. */
  useToken(token) {
    this.#token = token;
  }

  /** Stops the answer that sounds or is being made. */
  interrupt() {
    const response = this.conversation.activeResponse;
    if (response) this.#link.send(events.cancel(response));
    this.#run(this.conversation.stop());
  }

  /** Sends a typed message. */
  async say(text) {
    if (!(await this.start({ listen: false }))) return;
    if (this.#link.status !== "open") {
      this.#typed.push(text);
      return;
    }
    this.interrupt();
    this.#voice.reset();
    this.#link.send(events.say(text));
    this.#link.send(events.respond());
  }

  /** The talk key goes down. */
  async hold() {
    if (this.holding) return;
    this.#heldSince = performance.now();
    if (!(await this.start({ listen: true }))) {
      this.#heldSince = null;
      return;
    }
    if (!this.holding) return; // let go while the microphone was opening
    this.#heldSince = performance.now();
    this.interrupt();
    this.#run(this.conversation.to("hearing"));
    this.#view.refresh();
  }

  /** The talk key comes up: what was said is the user's turn. */
  release() {
    if (!this.holding) return;
    const now = performance.now();
    const slip = now - this.#heldSince < SHORTEST_HOLD_MS;
    this.#heldSince = null;
    if (this.#link.status !== "open" || this.conversation.state !== "hearing") return;
    this.#link.send(slip ? events.clear() : events.commit());
    if (!slip) {
      this.#link.send(events.respond());
      this.#voice.stopped(now, now);
    }
    this.#run(this.conversation.to(slip ? "listening" : "thinking"));
  }

  set muted(value) {
    this.#muted = value;
    if (this.microphone) this.microphone.muted = value;
    this.#view.refresh();
  }

  /** Sends the session's settings again after a preference changed. */
  reconfigure() {
    this.#link.send(events.configure(this.#preferences));
  }

  /** Opens the preferred microphone in place of the one in hand. */
  async changeMicrophone() {
    if (!this.microphone) return;
    await this.#closeMicrophone();
    try {
      await this.#openMicrophone();
    } catch (error) {
      this.#view.deviceError(error, "microphone");
    }
    this.#view.refresh();
  }

  /** Plays through another device. */
  async useSpeaker(deviceId) {
    try {
      await this.speaker?.useDevice(deviceId);
    } catch (error) {
      this.#view.deviceError(error, "speaker");
    }
  }

  /** Shows the camera to the assistant, or no longer. */
  async setCamera(on) {
    if (!on) {
      this.#camera.close();
      this.#view.refresh();
      return;
    }
    try {
      const settings = await this.#camera.open(this.#preferences.camera, (jpeg) => this.#seen(jpeg));
      this.#view.cameraOpened(settings);
      await this.start({ listen: false });
    } catch (error) {
      this.#camera.close();
      this.#view.deviceError(error, "camera");
    }
    this.#view.refresh();
  }

  /** The machine went off the network or came back. */
  network(online) {
    this.#link.network(online);
  }

  async #openMicrophone() {
    this.microphone = await Microphone.open(this.#preferences.microphone, (packet) => this.#heard(packet));
    this.microphone.muted = this.#muted;
    this.microphone.onLost(() => {
      this.#view.notice("The microphone went away.");
      void this.#closeMicrophone().then(() => this.#view.refresh());
    });
  }

  async #closeMicrophone() {
    const microphone = this.microphone;
    this.microphone = null;
    this.#kept = [];
    await microphone?.close();
  }

  #heard(packet) {
    if (this.#preferences.turns === "hold" && !this.holding) return;
    this.#kept.push(packet);
    if (this.#link.status !== "open") {
      this.#kept = this.#kept.slice(-KEPT_PACKETS);
      return;
    }
    for (const { pcm, timeMs } of this.#kept.splice(0)) {
      this.#link.send(events.append(pcm));
      this.#clock.mark(pcm.length / 2, timeMs);
    }
  }

  #seen(jpeg) {
    if (this.#link.backlog < MOST_BACKLOG_BYTES) this.#link.send(events.appendFrame(jpeg));
  }

  #connection(status, detail) {
    if (status === "open") {
      this.reconfigure();
      for (const text of this.#typed.splice(0)) void this.say(text);
    }
    if (status === "closed") {
      this.#run(this.conversation.restarted());
      void this.#closeMicrophone().then(() => this.#view.refresh());
    }
    this.#view.connection(status, detail);
    this.#view.refresh();
  }

  #renewed() {
    this.#clock = new InputClock();
    this.#run(this.conversation.restarted());
    const line = this.conversation.captions.note("The connection was away for too long: Viva begins afresh.");
    this.#view.line(line);
  }

  #played(report) {
    const { kind, answer, played } = report;
    if (this.conversation.responseOf(answer) === null) return;
    if (kind === "started") {
      this.#run(this.conversation.playbackStarted());
      this.#measured(answer, this.#voice.played(report.timeMs));
    }
    this.#position = kind === "finished" ? null : report;
    this.#run(kind === "finished" ? this.conversation.playbackFinished(answer) : this.conversation.playbackMoved(answer, played));
    this.#acknowledge(answer, played, kind === "finished");
  }

  #measured(answer, result) {
    if (!result) return;
    const line = this.conversation.captions.get(answer);
    line.latencyMs = result.totalMs;
    this.#view.line(line);
    this.#view.latency({ ...result, response: this.conversation.responseOf(answer) });
  }

  #acknowledge(answer, played, last) {
    const ack = this.#acks.next(answer, played, last);
    const response = this.conversation.responseOf(answer);
    if (ack) this.#link.send(events.playbackAck(response, answer, Math.floor(samplesToMs(played))));
  }

  #run(effects) {
    for (const effect of effects) this.#carryOut(effect);
  }

  #carryOut(effect) {
    if (effect.kind === "line") this.#view.line(effect.line);
    else if (effect.kind === "state") this.#view.refresh();
    else if (effect.kind === "send") this.#link.send(effect.event);
    else if (effect.kind === "play") this.#play(effect);
    else if (effect.kind === "end") this.speaker?.end(effect.answer);
    else if (effect.kind === "pause") this.speaker?.pause(effect.on);
    else if (effect.kind === "flush") void this.#flush(effect.answer);
    else if (effect.kind === "timing") this.#view.timing(effect.timing);
    else if (effect.kind === "stopped") this.#stopped(effect.audioEndMs);
    else if (effect.kind === "error") this.#view.daemonError(effect.error);
  }

  #stopped(audioEndMs) {
    const now = performance.now();
    const timeMs = this.#clock.timeOf(msToSamples(audioEndMs));
    if (timeMs === null) this.#voice.reset();
    else this.#voice.stopped(timeMs, now);
  }

  #play({ answer, start, pcm, mel }) {
    this.#voice.arrived(performance.now());
    if (mel) this.mel.add(answer, start, bytesFromBase64(mel));
    this.speaker?.push(answer, start, floatsFromPcm16(bytesFromBase64(pcm)));
  }

  async #flush(answer) {
    this.#position = null;
    this.#interruptedUntil = performance.now() + INTERRUPTED_MS;
    setTimeout(() => this.#view.refresh(), INTERRUPTED_MS);
    const cut = await this.speaker?.flush();
    const played = cut?.answer === answer ? cut.played : 0;
    this.#run(this.conversation.cutOff(answer, played));
  }
}
