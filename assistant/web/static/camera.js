// The camera: a preview, and small pictures of it for the assistant.

import { FRAME_INTERVAL_MS, FRAME_LONGEST_SIDE_PX, FRAME_QUALITY } from "./numbers.js";

/** Width and height that fit a picture into a longest side, never enlarged. */
export function fitted(width, height, longest) {
  const scale = Math.min(1, longest / Math.max(width, height));
  return { width: Math.max(1, Math.round(width * scale)), height: Math.max(1, Math.round(height * scale)) };
}

/** Shows a camera and hands out its newest picture as JPEG bytes, at most two a second. */
export class Camera {
  #video;
  #stream = null;
  #timer = null;
  #canvas = document.createElement("canvas");
  #busy = false;

  constructor(video) {
    this.#video = video;
  }

  get on() {
    return this.#stream !== null;
  }

  /** Opens a camera; `receive` gets each picture. Rejects with the browser's error. */
  async open(deviceId, receive) {
    this.close();
    const device = deviceId ? { deviceId: { exact: deviceId } } : { facingMode: { ideal: "user" } };
    const video = { ...device, width: { ideal: 640 }, height: { ideal: 480 }, frameRate: { ideal: 15 } };
    this.#stream = await navigator.mediaDevices.getUserMedia({ video });
    this.#video.srcObject = this.#stream;
    await this.#video.play();
    this.#timer = setInterval(() => this.#take(receive), FRAME_INTERVAL_MS);
    return this.#stream.getVideoTracks()[0].getSettings();
  }

  async #take(receive) {
    const { videoWidth, videoHeight } = this.#video;
    if (this.#busy || !videoWidth || document.hidden) return;
    this.#busy = true; // an older picture is still being made: this one is left out
    try {
      const { width, height } = fitted(videoWidth, videoHeight, FRAME_LONGEST_SIDE_PX);
      this.#canvas.width = width;
      this.#canvas.height = height;
      this.#canvas.getContext("2d").drawImage(this.#video, 0, 0, width, height);
      const blob = await new Promise((resolve) => this.#canvas.toBlob(resolve, "image/jpeg", FRAME_QUALITY));
      if (blob && this.#stream) receive(new Uint8Array(await blob.arrayBuffer()));
    } finally {
      this.#busy = false;
    }
  }

  close() {
    clearInterval(this.#timer);
    for (const track of this.#stream?.getTracks() ?? []) track.stop();
    this.#stream = null;
    this.#video.srcObject = null;
  }
}
