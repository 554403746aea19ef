// The audio thread's end of the microphone: packets of PCM16 at the rate of the wire, with their level and time.

import { PACKET_SAMPLES, SAMPLE_RATE_HZ } from "./numbers.js";
import { Packetizer, pcm16FromFloats, rms } from "./pcm.js";
import { Resampler } from "./resample.js";

class Capture extends AudioWorkletProcessor {
  #packetizer = new Packetizer(PACKET_SAMPLES);
  #resampler = sampleRate === SAMPLE_RATE_HZ ? null : new Resampler(sampleRate, SAMPLE_RATE_HZ);

  process([[block]]) {
    if (!block) return true; // no microphone is connected at the moment
    const samples = this.#resampler ? this.#resampler.push(block) : block;
    for (const packet of this.#packetizer.push(samples)) {
      const pcm = pcm16FromFloats(packet);
      const time = currentTime + block.length / sampleRate;
      this.port.postMessage({ pcm, level: rms(packet), time }, [pcm.buffer]);
    }
    return true;
  }
}

registerProcessor("capture", Capture);
