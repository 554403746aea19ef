// PCM, packets, the resampler, mel frames and what is drawn from them.

import assert from "node:assert/strict";
import { test } from "node:test";

import { MelTimeline } from "../../assistant/web/static/mel.js";
import { ribbon } from "../../assistant/web/static/orb.js";
import { Packetizer, base64FromBytes, bytesFromBase64, floatsFromPcm16, pcm16FromFloats, rms } from "../../assistant/web/static/pcm.js";
import { DEFAULTS, parsePreferences } from "../../assistant/web/static/preferences.js";
import { Resampler } from "../../assistant/web/static/resample.js";
import { bandsFromBins, bandsFromMel, follow } from "../../assistant/web/static/spectrum.js";

test("PCM goes to base64 and back", () => {
  const samples = Float32Array.from([0, 0.5, -0.5, 1, -1, 2, -2]);
  const back = floatsFromPcm16(bytesFromBase64(base64FromBytes(pcm16FromFloats(samples))));
  assert.deepEqual([...back].map((value) => Math.round(value * 100) / 100), [0, 0.5, -0.5, 1, -1, 1, -1]);
  const long = new Uint8Array(100_000).map((_, at) => at);
  assert.deepEqual(bytesFromBase64(base64FromBytes(long)), long);
  assert.equal(rms(new Float32Array(0)), 0);
});

test("packets have one length whatever the blocks have", () => {
  const packetizer = new Packetizer(480);
  const packets = [];
  for (let at = 0; at < 4000; at += 128) {
    packets.push(...packetizer.push(Float32Array.from({ length: Math.min(128, 4000 - at) }, (_, step) => at + step)));
  }
  assert.equal(packets.length, 8);
  assert.deepEqual(packets.flatMap((packet) => [...packet]), Array.from({ length: 3840 }, (_, at) => at));
});

for (const [fromHz, toHz] of [[48_000, 24_000], [44_100, 24_000], [16_000, 24_000]]) {
  test(`resampling ${fromHz} to ${toHz} keeps a tone, and blocks do not matter`, () => {
    const hz = 1000;
    const input = Float32Array.from({ length: fromHz / 2 }, (_, at) => Math.sin((2 * Math.PI * hz * at) / fromHz));
    const whole = new Resampler(fromHz, toHz).push(input);
    const pieces = new Resampler(fromHz, toHz);
    const parts = [];
    for (let at = 0; at < input.length; at += 128) parts.push(...pieces.push(input.subarray(at, at + 128)));
    assert.deepEqual(parts, [...whole]);
    assert.ok(Math.abs(whole.length - toHz / 2) < 40, `${whole.length}`);
    const inner = whole.subarray(100, -100);
    assert.ok(Math.abs(rms(inner) - Math.SQRT1_2) < 0.003, `${rms(inner)}`);
  });
}

test("resampling down removes what would fold over", () => {
  const input = Float32Array.from({ length: 48_000 }, (_, at) => Math.sin((2 * Math.PI * 15_000 * at) / 48_000));
  assert.ok(rms(new Resampler(48_000, 24_000).push(input).subarray(100)) < 0.003);
});

test("mel frames are found by the sample that sounds, for the last answers only", () => {
  const timeline = new MelTimeline();
  timeline.add("a", 0, new Uint8Array(200).fill(1));
  timeline.add("a", 480, new Uint8Array(100).fill(2));
  assert.equal(timeline.at("a", 479)[0], 1);
  assert.equal(timeline.at("a", 480)[99], 2);
  assert.equal(timeline.at("a", 720), null);
  timeline.add("b", 0, new Uint8Array(100));
  timeline.add("c", 0, new Uint8Array(100));
  assert.equal(timeline.at("a", 0), null);
});

test("spectra: silence draws nothing, a tone rises in its band, and falls slowly", () => {
  assert.ok(bandsFromMel(new Uint8Array(100)).every((value) => value === 0));
  assert.equal(bandsFromMel(new Uint8Array(100).fill(255))[50], 1);
  const bins = new Uint8Array(512);
  bins[43] = 255; // 1 kHz at 24 kHz and 1,024 points
  const bands = bandsFromBins(bins, 24_000 / 1024);
  assert.ok(bands.indexOf(Math.max(...bands)) > 25 && bands.indexOf(Math.max(...bands)) < 40);
  const held = follow(new Float32Array(100), bands);
  const up = Math.max(...held);
  follow(held, null);
  assert.ok(Math.max(...held) > 0.8 * up);
});

test("the ribbon mirrors the sound left and right, low notes at the bottom", () => {
  const bands = new Float32Array(100);
  bands.fill(1, 0, 12);
  const loud = ribbon(bands, "speaking", 0);
  const quiet = ribbon(new Float32Array(100), "speaking", 0);
  const sound = loud.map((value, at) => value - quiet[at]);
  assert.ok(sound[0] > 0.9 && sound[36] < 0.01);
  assert.ok(Math.abs(sound[5] - sound[67]) < 1e-5);
});

test("preferences: damaged, unknown and foreign values fall back", () => {
  assert.deepEqual(parsePreferences("{"), DEFAULTS);
  assert.deepEqual(parsePreferences("null"), DEFAULTS);
  const kept = parsePreferences('{"turns":"hold","rate":"fast","evil":1,"mel":false}');
  assert.deepEqual(kept, { ...DEFAULTS, turns: "hold", mel: false });
});
