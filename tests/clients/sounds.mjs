// Sound for the clients to send, and a way to wait for events in order.
const RATE = 24000;

export function tone(seconds, hz) {
  const samples = new Int16Array(Math.floor(seconds * RATE));
  for (let n = 0; n < samples.length; n++) {
    const step = (2 * Math.PI * hz * n) / RATE;
    let value = 0;
    for (let k = 1; k <= 20; k++) value += Math.sin(k * step);
    samples[n] = 1500 * value;
  }
  return Buffer.from(samples.buffer);
}

export const silence = (seconds) => Buffer.alloc(2 * Math.floor(seconds * RATE));

export function packets(pcm, size = 4800) {
  const found = [];
  for (let at = 0; at < pcm.length; at += size) found.push(pcm.subarray(at, at + size));
  return found;
}

export function waiter(listen) {
  const queue = [];
  let wake = () => {};
  listen((event) => { queue.push(event); wake(); });
  return async function until(kind) {
    for (;;) {
      while (queue.length) {
        const event = queue.shift();
        if (event.type === 'error') throw new Error(JSON.stringify(event));
        if (event.type === kind) return event;
      }
      await new Promise((resolve) => { wake = resolve; });
    }
  };
}
