// The lasting connection, in a world without sockets and without time.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Link, waitBefore } from "../../assistant/web/static/link.js";

class World {
  sockets = [];
  timers = [];
  time = 0;
  status = null;

  socket(query, token) {
    const socket = { query, token, sent: [], bufferedAmount: 0, send: (text) => socket.sent.push(JSON.parse(text)), close: () => {} };
    this.sockets.push(socket);
    return socket;
  }
  refusal = async () => this.status;
  setTimer = (callback, ms) => this.timers.push({ callback, ms });
  clearTimer = () => {};
  now = () => this.time;
  random = () => 1;

  get last() {
    return this.sockets.at(-1);
  }
  opens(event) {
    this.last.onopen();
    this.tells(event);
  }
  tells(event) {
    this.last.onmessage({ data: JSON.stringify(event) });
  }
  async breaks(code = 1006, reason = "") {
    this.last.onclose({ code, reason });
    await Promise.resolve();
    await Promise.resolve();
  }
  waits() {
    const { callback, ms } = this.timers.shift();
    this.time += ms;
    callback();
    return ms;
  }
}

const CREATED = { type: "session.created", server_event_seq: 1, vivavoce: { resume_token: "t1", resume_window_s: 30 } };

function linked() {
  const world = new World();
  const seen = { events: [], statuses: [], renewals: 0 };
  const link = new Link(
    {
      event: (event) => seen.events.push(event.type),
      status: (status, detail) => seen.statuses.push([status, detail]),
      renewed: () => (seen.renewals += 1),
    },
    world,
  );
  link.open("key");
  return { world, seen, link };
}

test("opens with the extensions and the key, and sends only when the session is there", () => {
  const { world, link } = linked();
  assert.deepEqual([world.last.query, world.last.token, link.status], ["vivavoce=1", "key", "connecting"]);
  assert.equal(link.send({ type: "x" }), false);
  world.opens(CREATED);
  assert.equal(link.send({ type: "x" }), true);
  assert.deepEqual(world.last.sent, [{ type: "x" }]);
});

test("a broken connection is taken up where it was", async () => {
  const { world, seen, link } = linked();
  world.opens(CREATED);
  world.tells({ type: "response.created", server_event_seq: 7 });
  await world.breaks();
  assert.equal(link.status, "reconnecting");
  assert.equal(world.waits(), 250);
  assert.equal(world.last.query, "vivavoce=resume");
  world.opens({ type: "vivavoce.session.resumed", resume_token: "t2", replayed: 0 });
  assert.deepEqual(world.last.sent, [{ type: "vivavoce.session.resume", resume_token: "t1", after: 7 }]);
  assert.equal(link.status, "open");
  assert.equal(seen.renewals, 0);
  await world.breaks();
  world.waits();
  world.opens({ type: "vivavoce.session.resumed", resume_token: "t3" });
  assert.equal(world.last.sent[0].resume_token, "t2", "each token is used once");
});

test("when the session cannot be taken up, a new one begins and says so", async () => {
  const { world, seen } = linked();
  world.opens(CREATED);
  await world.breaks(1012);
  world.waits();
  world.opens({ type: "error", error: { code: "resume_failed" } });
  await world.breaks(1008);
  world.waits();
  assert.equal(world.last.query, "vivavoce=1");
  world.opens({ ...CREATED, vivavoce: { resume_token: "n1", resume_window_s: 30 } });
  assert.equal(seen.renewals, 1);
  assert.ok(!seen.events.includes("error"));
});

test("after the window it does not try to resume", async () => {
  const { world } = linked();
  world.opens(CREATED);
  await world.breaks();
  while (world.time < 30_000) {
    world.waits();
    await world.breaks();
  }
  world.waits();
  assert.equal(world.last.query, "vivavoce=1");
});

test("a missing key is told at once, not tried again", async () => {
  const { world, seen, link } = linked();
  world.status = 401;
  await world.breaks();
  assert.deepEqual(seen.statuses.at(-1), ["closed", { status: 401 }]);
  assert.equal(world.timers.length, 0);
  assert.equal(link.status, "closed");
});

test("a daemon that is full, gone or done with us", async () => {
  const full = linked();
  await full.world.breaks(1013);
  assert.match(full.seen.statuses.at(-1)[1].reason, /taken/);
  const gone = linked();
  for (let attempt = 0; attempt < 3; attempt += 1) {
    await gone.world.breaks();
    gone.world.waits();
  }
  await gone.world.breaks();
  assert.match(gone.seen.statuses.at(-1)[1].reason, /does not answer/);
  const done = linked();
  done.world.opens(CREATED);
  await done.world.breaks(1008, "this session is an hour old");
  assert.deepEqual(done.seen.statuses.at(-1), ["closed", { reason: "this session is an hour old" }]);
});

test("it gives up after two minutes without a connection", async () => {
  const { world, link } = linked();
  world.opens(CREATED);
  await world.breaks();
  while (world.timers.length) {
    world.waits();
    await world.breaks();
  }
  assert.equal(link.status, "closed");
  assert.ok(world.time > 120_000 && world.time < 140_000);
});

test("closing ends it for good, and late news of the old socket is ignored", async () => {
  const { world, seen, link } = linked();
  world.opens(CREATED);
  const count = seen.events.length;
  link.close();
  world.tells({ type: "response.created" });
  await world.breaks(1000);
  assert.equal(seen.events.length, count);
  assert.equal(link.status, "closed");
});

test("off the network it does not wait for the socket to notice", async () => {
  const { world, link } = linked();
  world.opens(CREATED);
  link.network(false);
  assert.equal(link.status, "reconnecting");
  link.network(true);
  assert.equal(world.last.query, "vivavoce=resume");
});

test("waits grow, and stay under 8 s", () => {
  assert.deepEqual([0, 1, 2, 9].map((attempt) => waitBefore(attempt, 1)), [250, 500, 1000, 8000]);
  assert.equal(waitBefore(0, 0), 188);
});
