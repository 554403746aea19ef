// @openai/agents-realtime: a text turn with a tool, a spoken turn and a barge-in. Prints what it saw as JSON.
import { RealtimeAgent, RealtimeSession, OpenAIRealtimeWebSocket, tool } from '@openai/agents-realtime';
import { z } from 'zod';
import { packets, silence, tone, waiter } from './sounds.mjs';

const port = process.argv[2];
const seen = {};
const weather = tool({ name: 'weather', description: 'Look outside.', parameters: z.object({}), execute: async () => 'rain' });
const agent = new RealtimeAgent({ name: 'Viva', instructions: 'Be brief.', tools: [weather] });
const transport = new OpenAIRealtimeWebSocket({ url: `ws://127.0.0.1:${port}/v1/realtime?model=viva-tiny`, useInsecureApiKey: true });
const session = new RealtimeSession(agent, { transport });
const until = waiter((handle) => transport.on('*', handle));
await session.connect({ apiKey: 'any' });
session.on('error', (problem) => { console.error('error', JSON.stringify(problem)); process.exit(1); });
session.sendMessage('hello');
await until('response.output_audio.delta');
seen.text = (await until('response.done')).response.output[0].content[0].transcript;
session.sendMessage('call weather');
seen.tool = (await until('response.done')).response.output[0].name;
seen.tool_answer = (await until('response.done')).response.output[0].content[0].transcript;
for (const packet of packets(Buffer.concat([tone(0.6, 200), silence(0.5)]))) session.sendAudio(packet.buffer.slice(packet.byteOffset, packet.byteOffset + packet.length));
seen.audio = (await until('response.done')).response.output[0].content[0].transcript;
session.sendMessage(Array(60).fill('word').join(' '));
await until('response.output_audio.delta');
for (const packet of packets(tone(0.5, 140))) session.sendAudio(packet.buffer.slice(packet.byteOffset, packet.byteOffset + packet.length));
await until('input_audio_buffer.speech_started');
seen.barge_in = (await until('response.done')).response.status;
console.log(JSON.stringify(seen));
process.exit(0);
