// Server events in, effects out.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Conversation } from "../../assistant/web/static/conversation.js";

const TEXT = "Good morning to you all";
const place = { response_id: "r1", item_id: "a1", output_index: 0, content_index: 0 };
const kinds = (effects) => effects.map(({ kind }) => kind);

function answering(conversation = new Conversation()) {
  conversation.receive({ type: "response.created", response: { id: "r1" } });
  conversation.receive({ type: "response.output_item.added", response_id: "r1", item: { id: "a1", type: "message" } });
  conversation.receive({ type: "response.output_audio_transcript.delta", ...place, delta: TEXT });
  return conversation;
}

function sound(conversation, startMs, durationMs, textEnd) {
  const vivavoce = { start_ms: startMs, duration_ms: durationMs, mel: "", text_end: textEnd };
  return conversation.receive({ type: "response.output_audio.delta", ...place, delta: "AAAA", vivavoce });
}

test("a spoken turn from end to end", () => {
  const conversation = new Conversation();
  assert.deepEqual(kinds(conversation.receive({ type: "input_audio_buffer.speech_started" })), ["state"]);
  assert.equal(conversation.state, "hearing");
  const stopped = conversation.receive({ type: "input_audio_buffer.speech_stopped", audio_end_ms: 900 });
  assert.deepEqual(stopped[0], { kind: "stopped", audioEndMs: 900 });
  conversation.receive({ type: "input_audio_buffer.committed", item_id: "u1" });
  answering(conversation);
  conversation.receive({ type: "conversation.item.input_audio_transcription.completed", item_id: "u1", transcript: " Hello " });
  assert.deepEqual(kinds(sound(conversation, 0, 1000, TEXT.length)), ["play"]);
  conversation.playbackStarted();
  assert.equal(conversation.state, "speaking");
  conversation.receive({ type: "response.output_audio.done", ...place });
  conversation.receive({ type: "response.done", response: { id: "r1", status: "completed" } });
  assert.equal(conversation.state, "speaking", "it still sounds");
  conversation.playbackMoved("a1", 12_000);
  assert.equal(conversation.captions.get("a1").heardChars, 11);
  conversation.playbackFinished("a1");
  assert.equal(conversation.state, "listening");
  assert.equal(conversation.captions.toText(), `You: Hello\n\nViva: ${TEXT}\n`);
});

test("an interruption flushes at once, keeps what was heard and tells the daemon", () => {
  const conversation = answering();
  sound(conversation, 0, 500, 12);
  sound(conversation, 500, 500, TEXT.length);
  conversation.playbackStarted();
  const effects = conversation.receive({ type: "input_audio_buffer.speech_started" });
  assert.deepEqual(effects[0], { kind: "flush", answer: "a1" });
  assert.deepEqual(sound(conversation, 1000, 500, TEXT.length), [], "what comes late is not played");
  const after = conversation.cutOff("a1", 12_000);
  assert.equal(after.at(-1).event.audio_end_ms, 500);
  const line = conversation.captions.get("a1");
  assert.equal(line.text, "Good morning");
  assert.ok(line.interrupted);
  const done = conversation.receive({ type: "response.done", response: { id: "r1", status: "cancelled" } });
  assert.ok(!kinds(done).includes("flush"), "it was flushed already");
  conversation.receive({ type: "response.output_audio_transcript.delta", ...place, delta: " late" });
  assert.equal(line.text, "Good morning");
});

test("half a word that was cut off is not kept", () => {
  const conversation = answering();
  sound(conversation, 0, 1000, TEXT.length);
  conversation.interrupt();
  conversation.cutOff("a1", Math.floor((24_000 * 8) / TEXT.length));
  assert.equal(conversation.captions.get("a1").text, "Good");
});

test("an interruption before any sound was heard keeps nothing", () => {
  const conversation = answering();
  sound(conversation, 0, 1000, TEXT.length);
  conversation.interrupt();
  assert.equal(conversation.cutOff("a1", 0).at(-1).event.audio_end_ms, 0);
  assert.equal(conversation.captions.get("a1").text, "");
});

test("speech while nothing sounds cuts nothing", () => {
  const conversation = answering();
  sound(conversation, 0, 100, TEXT.length);
  conversation.receive({ type: "response.done", response: { id: "r1", status: "completed" } });
  conversation.playbackFinished("a1");
  assert.deepEqual(kinds(conversation.receive({ type: "input_audio_buffer.speech_started" })), ["state"]);
});

test("a cough holds the sound and lets it go on", () => {
  const conversation = answering();
  sound(conversation, 0, 1000, TEXT.length);
  assert.deepEqual(conversation.receive({ type: "vivavoce.playback.pause", response_id: "r1" }), [{ kind: "pause", on: true }]);
  assert.deepEqual(conversation.receive({ type: "vivavoce.playback.resume", response_id: "r1" }), [{ kind: "pause", on: false }]);
});

test("an answer that the daemon takes back is flushed", () => {
  const conversation = answering();
  sound(conversation, 0, 1000, TEXT.length);
  const effects = conversation.receive({ type: "response.done", response: { id: "r1", status: "cancelled" } });
  assert.ok(kinds(effects).includes("flush"));
});

test("a written answer is shown whole as it comes", () => {
  const conversation = new Conversation();
  conversation.receive({ type: "conversation.item.added", item: { id: "u1", type: "message", role: "user", content: [{ type: "input_text", text: "Hi" }] } });
  conversation.receive({ type: "response.created", response: { id: "r1" } });
  assert.equal(conversation.state, "thinking");
  conversation.receive({ type: "response.output_item.added", response_id: "r1", item: { id: "a1", type: "message" } });
  conversation.receive({ type: "response.output_text.delta", ...place, delta: "Hello" });
  assert.equal(conversation.captions.get("a1").heardChars, 5);
  conversation.receive({ type: "response.done", response: { id: "r1", status: "completed" } });
  assert.equal(conversation.state, "listening");
});

test("a daemon without the extensions: captions follow the share of the sound", () => {
  const conversation = answering();
  const delta = "A".repeat(64_000); // one second of PCM16 in base64
  conversation.receive({ type: "response.output_audio.delta", ...place, delta });
  conversation.receive({ type: "response.output_audio.delta", ...place, delta });
  conversation.playbackMoved("a1", 24_000);
  assert.equal(conversation.captions.get("a1").heardChars, Math.floor(TEXT.length / 2));
});

test("lines keep the order of the conversation, not of arrival", () => {
  const conversation = answering();
  conversation.receive({ type: "input_audio_buffer.committed", item_id: "u2", previous_item_id: "a1" });
  conversation.receive({ type: "input_audio_buffer.committed", item_id: "u0", previous_item_id: null });
  assert.deepEqual(conversation.captions.lines.map(({ id }) => id), ["a1", "u2", "u0"]);
  conversation.captions.open("a2", "assistant", "u2");
  assert.deepEqual(conversation.captions.lines.map(({ id }) => id), ["a1", "u2", "a2", "u0"]);
});

test("events from the future are passed over", () => {
  assert.deepEqual(new Conversation().receive({ type: "response.telepathy.delta" }), []);
});

test("after a fresh start nothing sounds and nothing is pending", () => {
  const conversation = answering();
  sound(conversation, 0, 1000, TEXT.length);
  assert.ok(kinds(conversation.restarted()).includes("flush"));
  assert.equal(conversation.state, "listening");
  assert.equal(conversation.activeResponse, null);
});
