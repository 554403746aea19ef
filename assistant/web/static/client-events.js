// The messages that the page sends; their meaning is in docs/protocol.md.

import { base64FromBytes } from "./pcm.js";

export const append = (pcm) => ({ type: "input_audio_buffer.append", audio: base64FromBytes(pcm) });

export const appendFrame = (jpeg) => ({
  type: "input_audio_buffer.append",
  audio: "",
  vivavoce: { frames: [`data:image/jpeg;base64,${base64FromBytes(jpeg)}`] },
});

export const commit = () => ({ type: "input_audio_buffer.commit" });
export const clear = () => ({ type: "input_audio_buffer.clear" });
export const respond = () => ({ type: "response.create" });
export const cancel = (responseId) => ({ type: "response.cancel", response_id: responseId });

export const say = (text) => ({
  type: "conversation.item.create",
  item: { type: "message", role: "user", content: [{ type: "input_text", text }] },
});

export const truncate = (itemId, playedMs) => ({
  type: "conversation.item.truncate",
  item_id: itemId,
  content_index: 0,
  audio_end_ms: playedMs,
});

export const playbackAck = (responseId, itemId, playedMs) => ({
  type: "vivavoce.playback.ack",
  response_id: responseId,
  item_id: itemId,
  played_ms: playedMs,
});

export const resume = (token, after) => ({ type: "vivavoce.session.resume", resume_token: token, after });

/** The session's settings for the page's preferences. */
export function configure(preferences) {
  const handsFree = preferences.turns === "hands-free";
  return {
    type: "session.update",
    session: {
      type: "realtime",
      audio: {
        input: {
          transcription: {},
          turn_detection: handsFree ? { type: "semantic_vad", eagerness: preferences.eagerness } : null,
        },
        output: { speed: preferences.rate },
      },
      vivavoce: { echo_cancelled: true, mel: preferences.mel, style: preferences.style },
    },
  };
}
