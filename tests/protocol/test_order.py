"""The order of server events for one answer, and what a Writer says about items."""

from assistant.protocol import settings as wire
from assistant.protocol.outgoing import Writer, usage_object
from assistant.protocol.reading import WireLimits
from assistant.session import events as ev
from assistant.session.engine import AudioPiece, Usage
from assistant.session.items import Item, Part
from assistant.session.settings import ReplyOptions
from tests.fakes import counter


def writer(**options: bool) -> Writer:
    session = wire.initial("sess_1", "viva-tiny", 0)
    return Writer(lambda: session, counter(), **options)


def spoken(status: str, text: str = "") -> Item:
    return Item("item_1", role="assistant", parts=(Part("audio", text),), status=status)


def one_answer(found: Writer) -> list[dict]:
    piece = AudioPiece("s", 1, bytes(4_800), 0, bytes(1_000), 3)
    events: list[ev.SessionEvent] = [
        ev.ReplyStarted("resp_1", ReplyOptions(metadata={"k": "v"}), True, False),
        ev.OutputStarted("resp_1", 0, spoken("in_progress"), None, False),
        ev.Said("resp_1", 0, "item_1", "Hi."),
        ev.Sounded("resp_1", 0, "item_1", piece),
        ev.OutputEnded("resp_1", 0, spoken("completed", "Hi."), False),
        ev.ReplyEnded(
            "resp_1", "completed", None, Usage(input_text=3, output_text=2), (spoken("completed", "Hi."),)
        ),
    ]
    return [message for event in events for message in found.write(event)]


def test_order_of_an_answer() -> None:
    messages = one_answer(writer())
    assert [message["type"] for message in messages] == [
        "response.created",
        "response.output_item.added",
        "conversation.item.added",
        "conversation.item.created",
        "response.content_part.added",
        "response.output_audio_transcript.delta",
        "response.output_audio.delta",
        "response.output_audio.done",
        "response.output_audio_transcript.done",
        "response.content_part.done",
        "conversation.item.done",
        "response.output_item.done",
        "response.done",
        "rate_limits.updated",
    ]
    assert messages[0]["response"]["metadata"] == messages[-2]["response"]["metadata"] == {"k": "v"}
    assert messages[-2]["response"]["output"][0]["content"] == [{"type": "output_audio", "transcript": "Hi."}]
    assert all("vivavoce" not in message for message in messages)
    assert len({message["event_id"] for message in messages}) == len(messages)


def test_extensions_ride_on_the_sound() -> None:
    delta = next(m for m in one_answer(writer(extended=True)) if m["type"] == "response.output_audio.delta")
    assert delta["vivavoce"]["mel_frames"] == 10
    assert (delta["vivavoce"]["start_ms"], delta["vivavoce"]["duration_ms"]) == (0, 100)


def test_long_sound_is_cut_into_messages_below_256_kib() -> None:
    found = writer()
    found.write(ev.ReplyStarted("resp_1", ReplyOptions(), True, False))
    piece = AudioPiece("s", 1, bytes(48_000 * 10), 0, b"", 0)
    deltas = found.write(ev.Sounded("resp_1", 0, "item_1", piece))
    assert len(deltas) == 4
    assert max(len(delta["delta"]) for delta in deltas) <= 256 << 10


def test_a_patch_is_laid_over_the_session_and_flat_words_find_their_place() -> None:
    session = wire.initial("sess_1", "viva-tiny", 0)
    flat = {"input_audio_format": "g711_ulaw", "turn_detection": {"type": "server_vad"}, "voice": "x"}
    merged = wire.merged(session, flat, WireLimits())
    assert merged["audio"]["input"]["format"] == {"type": "audio/pcmu"}
    assert merged["audio"]["input"]["turn_detection"]["silence_duration_ms"] == 500
    assert merged["audio"]["output"]["voice"] == "x"
    assert session["audio"]["output"]["voice"] == "viva"


def test_usage_adds_up() -> None:
    usage = usage_object(
        Usage(input_text=3, input_audio=4, input_image=5, cached=2, output_text=6, output_audio=7)
    )
    assert (usage["input_tokens"], usage["output_tokens"], usage["total_tokens"]) == (12, 13, 25)
