// The numbers that the page shares with the daemon. Names end in their unit.

export const SAMPLE_RATE_HZ = 24_000; // both ways on the wire
export const PACKET_SAMPLES = 480; // 20 ms of microphone per message
export const MEL_HOP_SAMPLES = 240; // 10 ms per mel frame
export const N_MELS = 100;

export const FRAME_LONGEST_SIDE_PX = 448; // the daemon letterboxes to 224; twice that leaves it room to crop
export const FRAME_INTERVAL_MS = 500; // at most two camera frames a second, the newest wins
export const FRAME_QUALITY = 0.72; // of JPEG: about 25 kB a frame

/** Milliseconds that a number of samples lasts. */
export const samplesToMs = (samples) => (samples * 1000) / SAMPLE_RATE_HZ;

/** Samples that fit into a number of milliseconds. */
export const msToSamples = (ms) => Math.floor((ms * SAMPLE_RATE_HZ) / 1000);
