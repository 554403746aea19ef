// The jitter buffer, the acknowledgements and the clock of the microphone.

import assert from "node:assert/strict";
import { test } from "node:test";

import { AckScheduler } from "../../assistant/web/static/acks.js";
import { InputClock, VoiceToVoice, median } from "../../assistant/web/static/latency.js";
import { Playout } from "../../assistant/web/static/playout.js";

const BLOCK = 128;
const ramp = (start, count) => Float32Array.from({ length: count }, (_, at) => start + at + 1);

function play(playout, blocks) {
  const heard = [];
  const events = [];
  for (let block = 0; block < blocks; block += 1) {
    const output = new Float32Array(BLOCK);
    playout.render(output);
    heard.push(...output);
    events.push(...playout.takeEvents());
  }
  return { heard, events };
}

test("an answer is played whole, in order, without a gap, and its samples are counted", () => {
  const playout = new Playout();
  for (let start = 0; start < 3000; start += 1000) playout.push("a", start, ramp(start, 1000));
  playout.end("a");
  const { heard, events } = play(playout, 30);
  assert.deepEqual(heard.slice(0, 3000), [...ramp(0, 3000)]);
  assert.ok(heard.slice(3000).every((sample) => sample === 0));
  assert.deepEqual(events.map(({ kind, played }) => [kind, played]), [["started", 0], ["finished", 3000]]);
  assert.equal(events[1].offset, 3000 % BLOCK);
});

test("it waits for 40 ms of sound, but not for more of an answer that has ended", () => {
  const playout = new Playout();
  playout.push("a", 0, ramp(0, 900));
  assert.ok(play(playout, 5).heard.every((sample) => sample === 0));
  playout.push("a", 900, ramp(900, 60));
  assert.equal(play(playout, 1).heard[0], 1);
  const short = new Playout();
  short.push("b", 0, ramp(0, 50));
  short.end("b");
  assert.equal(play(short, 1).heard[49], 50);
});

test("when it runs dry it says so, waits for more than before, and goes on where it was", () => {
  const playout = new Playout();
  playout.push("a", 0, ramp(0, 1000));
  const { events } = play(playout, 10);
  assert.deepEqual(events.map(({ kind, played }) => [kind, played]), [["started", 0], ["dry", 1000]]);
  playout.push("a", 1000, ramp(1000, 1000));
  assert.ok(play(playout, 3).heard.every((sample) => sample === 0));
  playout.push("a", 2000, ramp(2000, 1000));
  const again = play(playout, 20);
  assert.deepEqual(again.heard.slice(0, 2000), [...ramp(1000, 2000)]);
  assert.equal(again.events.filter(({ kind }) => kind === "started").length, 0);
});

test("sound that comes again after a lost connection is played once", () => {
  const playout = new Playout();
  playout.push("a", 0, ramp(0, 1000));
  playout.push("a", 500, ramp(500, 1000));
  playout.push("a", 0, ramp(0, 1000));
  playout.end("a");
  assert.deepEqual(play(playout, 12).heard.slice(0, 1536), [...ramp(0, 1500), ...new Array(36).fill(0)]);
});

test("a flush silences within 5 ms, fades, and tells exactly what was played", () => {
  const playout = new Playout();
  playout.push("a", 0, new Float32Array(24_000).fill(1));
  play(playout, 10);
  const cut = playout.flush();
  assert.deepEqual(cut, { answer: "a", played: 10 * BLOCK + 120 });
  const { heard } = play(playout, 2);
  assert.ok(heard[0] > 0.9 && heard[60] < 0.6 && heard[119] === 0);
  assert.ok(heard.slice(120).every((sample) => sample === 0));
  assert.equal(playout.waiting, 0);
  assert.equal(playout.flush(), null);
});

test("a pause keeps what waits, and counts nothing while it lasts", () => {
  const playout = new Playout();
  playout.push("a", 0, ramp(0, 4000));
  play(playout, 4);
  playout.paused = true;
  assert.ok(play(playout, 4).heard.every((sample) => sample === 0));
  assert.equal(playout.position.played, 512);
  playout.paused = false;
  assert.equal(play(playout, 1).heard[0], 513);
  playout.paused = true;
  assert.deepEqual(playout.flush(), { answer: "a", played: 640 });
  playout.push("b", 0, ramp(0, 2000));
  assert.equal(play(playout, 1).heard[0], 1, "a flush ends the pause");
});

test("one answer gives way to the next", () => {
  const playout = new Playout();
  playout.push("a", 0, ramp(0, 1000));
  playout.push("b", 0, ramp(0, 1000));
  playout.end("b");
  const { events } = play(playout, 20);
  assert.deepEqual(events.map(({ kind, answer }) => `${kind} ${answer}`), ["started a", "started b", "finished b"]);
});

test("acknowledgements: the first, every 200 ms, the last, none twice", () => {
  const acks = new AckScheduler();
  const told = [];
  for (let played = 512; played <= 12_000; played += 512) told.push(acks.next("a", played)?.played);
  told.push(acks.next("a", 12_000, true)?.played, acks.next("a", 12_000, true)?.played);
  assert.deepEqual(told.filter(Boolean), [512, 5632, 10752, 12_000]);
  assert.deepEqual(acks.next("b", 0), { answer: "b", played: 0 });
});

test("the microphone's clock gives each sample its time, across a gap", () => {
  const clock = new InputClock();
  clock.mark(480, 1020);
  clock.mark(480, 1040);
  clock.mark(480, 5000);
  assert.equal(clock.timeOf(480), 1020);
  assert.equal(clock.timeOf(720), 1030);
  assert.equal(clock.timeOf(1440), 5000);
  assert.equal(clock.timeOf(1441), null);
  assert.equal(clock.sent, 1440);
  for (let at = 0; at < 300; at += 1) clock.mark(480, 6000 + 20 * at);
  assert.equal(clock.timeOf(480), null, "too long ago");
});

test("voice to voice adds up, and a turn that was not spoken is not measured", () => {
  const voice = new VoiceToVoice();
  assert.equal(voice.played(5), null);
  voice.stopped(1000, 1210);
  voice.arrived(1290);
  voice.arrived(1400);
  assert.deepEqual(voice.played(1315), { totalMs: 315, decisionMs: 210, answerMs: 80, playbackMs: 25 });
  assert.equal(voice.played(1500), null);
  assert.equal(median([3, 1, 2]), 2);
  assert.equal(median([4, 1, 2, 3]), 2.5);
});
