// Server events in, effects out: what to play, what to show, what to send. Pure; main.js carries the effects out.

import { Captions } from "./captions.js";
import { truncate } from "./client-events.js";
import { msToSamples, samplesToMs } from "./numbers.js";

/** Follows one conversation. Every method returns a list of effects, {kind, …}. */
export class Conversation {
  captions = new Captions();
  #state = "listening";
  #response = null; // the answer that the daemon is making: {id}
  #answers = new Map(); // item id -> {response, ended, cut, finished}
  #playing = null; // item id of the answer that sounds or waits to sound

  get state() {
    return this.#state;
  }

  /** Id of the answer that is being made, or null. */
  get activeResponse() {
    return this.#response?.id ?? null;
  }

  /** Item id of the answer that sounds or waits to, or null. */
  get playing() {
    return this.#playing;
  }

  /** Id of the response that an answer belongs to. */
  responseOf(item) {
    return this.#answers.get(item)?.response ?? null;
  }

  /** Takes an event of the daemon; unknown ones are passed over. */
  receive(event) {
    const handler = HANDLERS[event.type];
    return handler ? handler(this, event) : [];
  }

  /** The loudspeaker began with an answer. */
  playbackStarted() {
    return this.to("speaking");
  }

  /** The loudspeaker has played so many samples of an answer. */
  playbackMoved(item, played) {
    const line = this.captions.get(item);
    if (!line || line.interrupted) return [];
    const before = line.heardChars;
    line.heard(played);
    return line.heardChars === before ? [] : [{ kind: "line", line }];
  }

  /** The loudspeaker has played all of an answer. */
  playbackFinished(item) {
    const line = this.captions.get(item);
    if (!line || line.interrupted) return [];
    line.heardAll();
    if (this.#playing === item) this.#playing = null;
    return [{ kind: "line", line }, ...(this.#state === "speaking" ? this.to("listening") : [])];
  }

  /** The user cuts in: everything that sounds or waits is dropped. `cutOff` follows with what was heard. */
  interrupt() {
    const item = this.#playing;
    for (const [id, answer] of this.#answers) {
      if (id === item || answer.response === this.activeResponse) answer.cut = true;
    }
    if (item === null) return [];
    this.#playing = null;
    return [{ kind: "flush", answer: item }];
  }

  /** The user wants silence, not a turn of their own. */
  stop() {
    const effects = this.interrupt();
    return [...effects, ...(this.#state === "speaking" ? this.to("listening") : [])];
  }

  /** The loudspeaker is silent; `played` samples of the answer were heard. */
  cutOff(item, played) {
    const line = this.captions.get(item);
    line?.cut(played);
    const lines = line ? [{ kind: "line", line }] : [];
    return [...lines, { kind: "send", event: truncate(item, Math.floor(samplesToMs(played))) }];
  }

  /** The daemon knows nothing of what went before: nothing is being answered any more. */
  restarted() {
    const flush = this.interrupt();
    this.#response = null;
    for (const line of this.captions.lines) line.done = true;
    return [...flush, ...this.to("listening")];
  }

  to(state) {
    if (state === this.#state) return [];
    this.#state = state;
    return [{ kind: "state", state }];
  }

  begin(response) {
    this.#response = response;
    return this.#state === "listening" ? this.to("thinking") : [];
  }

  openAnswer(item, response, previous) {
    if (this.#answers.has(item)) return [];
    this.#answers.set(item, { response, ended: false, cut: false });
    return [{ kind: "line", line: this.captions.open(item, "assistant", previous) }];
  }

  sound(event) {
    const answer = this.#answers.get(event.item_id);
    if (!answer || answer.cut) return [];
    const extra = event.vivavoce ?? {};
    const line = this.captions.get(event.item_id);
    const start = extra.start_ms === undefined ? (line.pieces.at(-1)?.end ?? 0) : msToSamples(extra.start_ms);
    const durationMs = extra.duration_ms ?? samplesToMs(Math.floor((event.delta.length * 3) / 8));
    line.addSound(start, durationMs, extra.text_end ?? null);
    this.#playing = event.item_id;
    const { item_id: item, delta: pcm } = event;
    return [{ kind: "play", answer: item, response: answer.response, start, pcm, mel: extra.mel ?? null }];
  }

  endSound(item) {
    const answer = this.#answers.get(item);
    if (!answer || answer.cut || answer.ended) return [];
    answer.ended = true;
    return [{ kind: "end", answer: item }];
  }

  finish(response) {
    this.#response = null;
    const effects = [];
    for (const [item, answer] of this.#answers) {
      if (answer.response !== response.id) continue;
      const line = this.captions.get(item);
      line.done = true;
      if (!line.aloud) line.heardAll();
      if (response.status === "cancelled" && !answer.cut) effects.push(...this.#cancelled(item, line));
      else effects.push(...this.endSound(item));
      effects.push({ kind: "line", line });
    }
    if (this.#playing === null && this.#state === "thinking") effects.push(...this.to("listening"));
    return effects;
  }

  #cancelled(item, line) {
    if (this.#playing === item) return this.interrupt();
    line.interrupted = true;
    return [];
  }
}

/** Text of an item's content, as far as it has one. */
const textOf = (item) => (item.content ?? []).map((part) => part.text ?? part.transcript ?? "").join("");

const addText = (conversation, event) => {
  const line = conversation.captions.get(event.item_id);
  if (!line || line.interrupted) return [];
  line.text += event.delta;
  if (!line.aloud && event.type === "response.output_text.delta") line.heardAll();
  return [{ kind: "line", line }];
};

const HANDLERS = {
  "input_audio_buffer.speech_started": (conversation) => [...conversation.interrupt(), ...conversation.to("hearing")],

  "input_audio_buffer.speech_stopped": (conversation, event) => [
    { kind: "stopped", audioEndMs: event.audio_end_ms },
    ...conversation.to("thinking"),
  ],

  "input_audio_buffer.committed": (conversation, event) => [
    { kind: "line", line: conversation.captions.open(event.item_id, "user", event.previous_item_id) },
  ],

  "conversation.item.added": (conversation, event) => {
    const { item } = event;
    if (item.type !== "message" || item.role !== "user") return [];
    const line = conversation.captions.open(item.id, "user", event.previous_item_id);
    line.text ||= textOf(item);
    return [{ kind: "line", line }];
  },

  "conversation.item.input_audio_transcription.delta": (conversation, event) => {
    const line = conversation.captions.open(event.item_id, "user");
    line.text += event.delta ?? "";
    return [{ kind: "line", line }];
  },

  "conversation.item.input_audio_transcription.completed": (conversation, event) => {
    const line = conversation.captions.open(event.item_id, "user");
    line.text = event.transcript.trim();
    line.done = true;
    return [{ kind: "line", line }];
  },

  "conversation.item.input_audio_transcription.failed": (conversation, event) => {
    const line = conversation.captions.open(event.item_id, "user");
    line.done = true;
    return [{ kind: "line", line }];
  },

  "response.created": (conversation, event) => conversation.begin(event.response),

  "response.output_item.added": (conversation, event) =>
    event.item.type === "message" ? conversation.openAnswer(event.item.id, event.response_id) : [],

  "response.output_audio_transcript.delta": addText,
  "response.output_text.delta": addText,
  "response.output_audio.delta": (conversation, event) => conversation.sound(event),
  "response.output_audio.done": (conversation, event) => conversation.endSound(event.item_id),
  "response.done": (conversation, event) => conversation.finish(event.response),
  "vivavoce.playback.pause": (conversation) => (conversation.playing ? [{ kind: "pause", on: true }] : []),
  "vivavoce.playback.resume": () => [{ kind: "pause", on: false }],
  "vivavoce.timing": (_conversation, event) => [{ kind: "timing", timing: event }],
  error: (_conversation, event) => [{ kind: "error", error: event.error }],
};
