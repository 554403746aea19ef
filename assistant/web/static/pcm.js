// PCM16 and base64: what a websocket message carries, and back.

/** Bytes of a base64 text. */
export function bytesFromBase64(text) {
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let at = 0; at < binary.length; at += 1) bytes[at] = binary.charCodeAt(at);
  return bytes;
}

/** Base64 text of bytes. */
export function base64FromBytes(bytes) {
  const step = 0x2000; // String.fromCharCode takes its bytes as arguments, of which engines allow a limited number
  let binary = "";
  for (let at = 0; at < bytes.length; at += step) {
    binary += String.fromCharCode(...bytes.subarray(at, at + step));
  }
  return btoa(binary);
}

/** Samples in [-1, 1) of little-endian PCM16 bytes; an odd last byte is dropped. */
export function floatsFromPcm16(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const samples = new Float32Array(bytes.byteLength >> 1);
  for (let at = 0; at < samples.length; at += 1) samples[at] = view.getInt16(2 * at, true) / 32768;
  return samples;
}

/** Little-endian PCM16 bytes of samples; what lies outside [-1, 1] is clipped. */
export function pcm16FromFloats(samples) {
  const bytes = new Uint8Array(2 * samples.length);
  const view = new DataView(bytes.buffer);
  for (let at = 0; at < samples.length; at += 1) {
    const value = Math.round(samples[at] * 32767);
    view.setInt16(2 * at, Math.max(-32768, Math.min(32767, value)), true);
  }
  return bytes;
}

/** Root mean square of samples. */
export function rms(samples) {
  let sum = 0;
  for (const sample of samples) sum += sample * sample;
  return samples.length ? Math.sqrt(sum / samples.length) : 0;
}

/** Cuts a stream of blocks of any length into packets of one length. */
export class Packetizer {
  #packet;
  #filled = 0;

  constructor(packetSamples) {
    this.#packet = new Float32Array(packetSamples);
  }

  /** Adds a block; returns the packets that became full, each an array of its own. */
  push(block) {
    const full = [];
    let at = 0;
    while (at < block.length) {
      const part = block.subarray(at, at + this.#packet.length - this.#filled);
      this.#packet.set(part, this.#filled);
      this.#filled += part.length;
      at += part.length;
      if (this.#filled === this.#packet.length) {
        full.push(this.#packet.slice());
        this.#filled = 0;
      }
    }
    return full;
  }
}
