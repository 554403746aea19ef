"""Bad networks and bad manners over real sockets; who may come in; how the daemon ends."""

import asyncio
import json
import socket

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosedError, InvalidStatus

from assistant.config import Limits, ServerSettings
from assistant.errors import ConfigError
from assistant.server.admission import Gate
from assistant.server.daemon import Daemon, listen
from tests.fakes import FakeEngine, FakeOmni, silence, tone
from tests.server import rig


async def get(running: Daemon, path: str, **headers: str) -> httpx.Response:
    async with httpx.AsyncClient() as http:
        return await http.get(f"http://127.0.0.1:{running.port}{path}", headers=headers)


async def freed(model: FakeOmni, conversations: int = 0) -> None:
    """Wait until the engine holds no more than so many conversations."""
    for _ in range(int(rig.PATIENCE_S / 0.01)):
        if model.open_conversations <= conversations:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"{model.open_conversations} conversations are still open")


async def test_page_probes_and_metrics(running: Daemon) -> None:
    page = await get(running, "/")
    assert page.status_code == 200
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert (await get(running, "/healthz")).text == "ok\n"
    assert (await get(running, "/readyz")).status_code == 200
    assert (await get(running, "/nothing")).status_code == 404
    assert (await get(running, "/../etc/passwd")).status_code == 404
    assert (await get(running, "/v1/realtime")).status_code == 426
    async with rig.client(running) as client:
        await client.sound(tone(0.6) + silence(0.5))
        await client.until("response.done")
        metrics = (await get(running, "/metrics")).text
    for line in (
        "vivavoce_sessions 1.0",
        "vivavoce_first_audio_seconds_count 1.0",
        "vivavoce_endpoint_seconds_count 1.0",
    ):
        assert line in metrics


async def test_not_ready_before_the_first_answer() -> None:
    running = Daemon(ServerSettings(port=0), FakeEngine(), "fake")
    await running.start()
    assert (await get(running, "/readyz")).status_code == 503
    assert (await get(running, "/healthz")).status_code == 200
    await running.stop(0.0)


@pytest.mark.parametrize(
    "offer",
    [
        {"additional_headers": {"Authorization": "Bearer right"}},
        {"subprotocols": ["realtime", "openai-insecure-api-key.right"]},
    ],
    ids=["bearer", "subprotocol"],
)
async def test_a_key_opens(offer: dict[str, object]) -> None:
    async with rig.daemon(keys=("other", "right")) as running, rig.client(running, **offer) as client:
        assert client.socket.subprotocol == ("realtime" if "subprotocols" in offer else None)


@pytest.mark.parametrize("key", ["", "wrong", "righ", "right "])
async def test_no_key_or_a_wrong_one(key: str) -> None:
    headers = {"Authorization": f"Bearer {key}x"} if key else {}
    async with rig.daemon(keys=("right",)) as running:
        with pytest.raises(InvalidStatus) as refused:
            async with rig.client(running, additional_headers=headers):
                pass
        assert refused.value.response.status_code == 401
        assert (await get(running, "/metrics")).status_code == 401


@pytest.mark.parametrize(
    ("origin", "good"),
    [
        ("http://127.0.0.1:{port}", True),
        ("http://listed.example", True),
        ("http://127.0.0.1:1", False),
        ("https://127.0.0.1:{port}", False),
        ("http://evil.example", False),
        ("http://listed.example.evil.example", False),
        ("null", False),
    ],
)
async def test_origins(origin: str, good: bool) -> None:
    async with rig.daemon(origins=("http://listed.example",)) as running:
        headers = {"Origin": origin.format(port=running.port)}
        if good:
            async with rig.client(running, additional_headers=headers):
                return
        with pytest.raises(InvalidStatus) as refused:
            async with rig.client(running, additional_headers=headers):
                pass
        assert refused.value.response.status_code == 403


def test_a_foreign_name_for_this_machine_is_a_foreign_origin() -> None:
    gate = Gate(ServerSettings())
    assert not gate.origin_is_good({"Origin": "http://evil.example:8765", "Host": "evil.example:8765"})
    assert gate.origin_is_good({"Origin": "http://localhost:8765", "Host": "localhost:8765"})


def test_other_addresses_need_a_key() -> None:
    with pytest.raises(ConfigError, match="needs a key"):
        Daemon(ServerSettings(host="0.0.0.0"), FakeEngine(), "fake")
    Daemon(ServerSettings(host="0.0.0.0", insecure=True), FakeEngine(), "fake")


def test_a_taken_port_is_found_before_the_weights_are_read() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"cannot listen on 127.0.0.1:{port}: .*--port"):
            listen(ServerSettings(port=port))


def test_an_unknown_address_is_named() -> None:
    with pytest.raises(ConfigError, match="nowhere.invalid:8765: no such address"):
        listen(ServerSettings(host="nowhere.invalid"))


def test_connections_of_one_address_are_counted() -> None:
    gate = Gate(ServerSettings(limits=Limits(connections_per_address=2)))
    for _ in range(2):
        gate.enter("10.0.0.1")
    assert gate.is_crowded("10.0.0.1")
    assert not gate.is_crowded("10.0.0.2")
    gate.leave("10.0.0.1")
    assert not gate.is_crowded("10.0.0.1")


async def test_a_session_too_many() -> None:
    async with rig.daemon(max_sessions=1) as running, rig.client(running) as first:
        async with connect(f"ws://127.0.0.1:{running.port}/v1/realtime") as second:
            await second.wait_closed()
            assert second.close_code == 1013
        assert (await first.ask("still there"))["status"] == "completed"


async def test_an_idle_client_is_let_go() -> None:
    async with rig.daemon(limits=Limits(idle_s=0.05)) as running, rig.client(running) as client:
        await client.socket.wait_closed()
        assert client.socket.close_code == 1008


async def test_a_vanished_client_frees_everything() -> None:
    model = FakeOmni()
    async with rig.daemon(model) as running:
        async with rig.client(running) as client:
            await client.type(" ".join(["word"] * 200))
            await client.send("response.create")
            await client.until("response.output_audio.delta")
            client.socket.transport.abort()
        await freed(model)


async def test_a_cancel_storm_harms_nobody(running: Daemon) -> None:
    async with rig.client(running) as storm, rig.client(running) as other:
        await storm.type(" ".join(["word"] * 100))
        for _ in range(30):
            await storm.send("response.create")
            await storm.send("response.cancel")
        assert (await other.ask("hello"))["status"] == "completed"
        await storm.send("response.cancel", event_id="last")
        while (await storm.next()).get("error", {}).get("event_id") != "last":
            pass
        created = storm.kinds().count("response.created")
        while storm.kinds().count("response.done") < created:
            await storm.next()
        assert (await storm.ask("calm"))["status"] == "completed"


async def test_a_client_that_does_not_read_is_closed_and_others_go_on() -> None:
    async with (
        rig.daemon(limits=Limits(queue_bytes=60_000)) as running,
        rig.client(running) as other,
        rig.client(running) as slow,
    ):
        slow.socket.transport.pause_reading()
        await slow.send("session.update", session={"instructions": "x" * 60_000})
        while 'reason="slow"} 1.0' not in (await get(running, "/metrics")).text:
            for _ in range(20):
                await slow.send("session.update", session={})
        assert (await other.ask("still there"))["status"] == "completed"
        slow.socket.transport.resume_reading()
        with pytest.raises(ConnectionClosedError):
            await slow.until("nothing that comes")
        assert slow.socket.close_code == 1013


async def test_half_open_sockets_harm_nobody(running: Daemon) -> None:
    holes = [socket.create_connection(("127.0.0.1", running.port)) for _ in range(20)]
    holes[0].sendall(b"GET /v1/realtime HTTP/1.1\r\nHost: x\r\n")
    async with rig.client(running) as client:
        assert (await client.ask("hello"))["status"] == "completed"
    for hole in holes:
        hole.close()


async def test_one_failing_answer_leaves_the_rest() -> None:
    async with rig.daemon(FakeOmni(fail_on="poison")) as running, rig.client(running) as other:
        async with rig.client(running) as client:
            await client.type("poison")
            await client.send("response.create")
            assert (await client.until("error"))["error"]["code"] == "engine_error"
            await client.socket.wait_closed()
            assert client.socket.close_code == 1011
        assert (await other.ask("hello"))["status"] == "completed"


async def resumed(running: Daemon, token: str, after: int) -> list[rig.Message]:
    """Resume and ask for one more answer; everything that came."""
    async with rig.client(running, "&vivavoce=resume") as client:
        await client.send("vivavoce.session.resume", resume_token=token, after=after)
        while not client.seen or client.seen[-1]["type"] not in {"rate_limits.updated", "error"}:
            await client.next()
        if client.seen[-1]["type"] == "rate_limits.updated":
            await client.ask("and again")
        return client.seen


async def test_a_lost_connection_is_taken_up_without_loss_or_repetition(running: Daemon) -> None:
    async with rig.client(running, "&vivavoce=1") as client:
        token = client.seen[0]["vivavoce"]["resume_token"]
        await client.type(" ".join(["word"] * 20))
        await client.send("response.create")
        for _ in range(3):
            await client.until("response.output_audio.delta")
        client.socket.transport.abort()
    before = [message["server_event_seq"] for message in client.seen]
    seen = await resumed(running, token, before[-1])
    assert seen[0]["type"] == "vivavoce.session.resumed"
    assert seen[0]["resume_token"] != token
    numbers = before + [message["server_event_seq"] for message in seen[1:]]
    assert numbers == list(range(1, len(numbers) + 1))
    stolen = await resumed(running, token, before[-1])
    assert stolen[0]["error"]["code"] == "resume_failed"


@pytest.mark.parametrize(
    "first",
    [
        {"type": "vivavoce.session.resume", "resume_token": "guess", "after": 1},
        {"type": "vivavoce.session.resume", "after": 1},
        {"type": "vivavoce.session.resume", "resume_token": "", "after": 1},
        {"type": "vivavoce.session.resume", "resume_token": None, "after": 1},
        {"type": "session.update", "session": {}},
        [],
    ],
)
async def test_nothing_to_resume(running: Daemon, first: object) -> None:
    async with rig.client(running, "&vivavoce=resume") as client:
        await client.socket.send(json.dumps(first))
        assert (await client.next())["error"]["code"] == "resume_failed"
        await client.socket.wait_closed()
        assert client.socket.close_code == 1008


async def test_a_session_nobody_comes_back_for_ends() -> None:
    model = FakeOmni()
    async with rig.daemon(model, resume_window_s=0.05) as running:
        async with rig.client(running, "&vivavoce=1") as client:
            token = client.seen[0]["vivavoce"]["resume_token"]
            await client.ask("hello")
            client.socket.transport.abort()
        await freed(model)
        seen = await resumed(running, token, 1)
        assert seen[0]["error"]["code"] == "resume_failed"


async def test_two_sockets_one_session(running: Daemon) -> None:
    async with rig.client(running, "&vivavoce=1") as old:
        token = old.seen[0]["vivavoce"]["resume_token"]
        async with rig.client(running, "&vivavoce=resume") as new:
            await new.send("vivavoce.session.resume", resume_token=token, after=2)
            await new.until("vivavoce.session.resumed")
            await old.socket.wait_closed()
            assert old.socket.close_code == 1008
            assert (await new.ask("hello"))["status"] == "completed"


async def test_draining_lets_an_answer_arrive_and_says_come_back() -> None:
    async with rig.daemon() as running, rig.client(running) as client:
        await client.type(" ".join(["word"] * 30))
        await client.send("response.create")
        await client.until("response.created")
        stopping = asyncio.create_task(running.stop(5.0))
        done = await client.until("response.done")
        assert done["response"]["status"] == "completed"
        await client.socket.wait_closed()
        assert client.socket.close_code == 1012
        await stopping
