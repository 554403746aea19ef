"""The page in a real headless Chromium, against a stand-in for the daemon."""

import base64
import time
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest

from tests.web.stand_in import ANSWER, StandIn

pytestmark = pytest.mark.browser


def wait_for_state(page: Any, *states: str) -> None:
    page.locator(", ".join(f'body[data-state="{state}"]' for state in states)).wait_for()


def wait_until(page: Any, condition: Callable[[], bool], what: str) -> None:
    """Let the page run until something is true."""
    end = time.monotonic() + 15
    while not condition():
        assert time.monotonic() < end, f"waited in vain for {what}"
        page.wait_for_timeout(30)


def heard(page: Any) -> tuple[np.ndarray, np.ndarray]:
    """What the page played: blocks of 256 samples (int) and the page's time at each, in ms."""
    found = page.evaluate("window.heard")
    return np.array(found["pcm"], int).reshape(-1, 256), np.array(found["times"])


def no_faults(page: Any) -> None:
    assert page.faults == []
    assert page.evaluate("window.faults") == []


def test_a_spoken_question_is_answered_aloud(stand_in: StandIn, open_page: Any) -> None:
    page = open_page(stand_in.url)
    page.locator("#talk").click()
    wait_for_state(page, "speaking")
    page.get_by_text("What do you hear in the kitchen?").wait_for()
    page.locator(".line.assistant .coming").wait_for()
    wait_for_state(page, "listening")
    assert page.locator(".line.assistant .said").inner_text() == ANSWER
    assert page.locator(".line.assistant .coming").count() == 0
    assert page.locator("#latency-value").inner_text().endswith(" ms")
    played, given = heard(page)[0].ravel(), np.frombuffer(stand_in.sound[0], "<i2").astype(int)
    first = np.flatnonzero(np.abs(played) > 2)[0] - np.flatnonzero(np.abs(given) > 2)[0]
    assert np.abs(played[first : first + len(given)] - given).max() <= 2, "it sounds, sample for sample"
    acks = [event["played_ms"] for event in stand_in.of_type("vivavoce.playback.ack")]
    assert acks == sorted(set(acks))
    assert acks[-1] == 6_000
    assert len(acks) >= 20
    no_faults(page)


def test_an_interruption_silences_the_page_within_200_ms(stand_in: StandIn, open_page: Any) -> None:
    page = open_page(stand_in.url)
    page.locator("#talk").click()
    wait_for_state(page, "speaking")
    page.wait_for_timeout(1_200)
    stand_in.interrupt()
    page.locator(".who small", has_text="interrupted").wait_for()
    page.wait_for_timeout(600)
    blocks, times = heard(page)
    started = page.evaluate("window.messages.filter(([type]) => type.endsWith('speech_started')).at(-1)[1]")
    last_sound = times[np.abs(blocks).max(axis=1) > 30].max()
    assert last_sound - started < 200
    [cut] = stand_in.of_type("conversation.item.truncate")
    assert 900 < cut["audio_end_ms"] < 2_500
    kept = page.locator(".line.assistant .said").inner_text()
    assert ANSWER.startswith(kept)
    assert 10 < len(kept) < 60
    no_faults(page)


def test_escape_stops_an_answer(stand_in: StandIn, open_page: Any) -> None:
    page = open_page(stand_in.url)
    page.locator("#talk").click()
    wait_for_state(page, "speaking")
    page.keyboard.press("Escape")
    wait_until(page, lambda: bool(stand_in.of_type("conversation.item.truncate")), "a truncation")
    wait_for_state(page, "listening", "thinking")
    assert stand_in.of_type("response.cancel")


def test_a_lost_connection_is_taken_up_without_loss_or_repetition(stand_in: StandIn, open_page: Any) -> None:
    page = open_page(stand_in.url)
    page.locator("#talk").click()
    wait_for_state(page, "speaking")
    stand_in.drop()
    wait_for_state(page, "reconnecting")
    wait_for_state(page, "speaking")
    wait_for_state(page, "listening")
    assert page.locator(".line.assistant .said").inner_text() == ANSWER
    assert stand_in.of_type("vivavoce.session.resume")[0]["resume_token"] == "token-0"
    assert stand_in.of_type("vivavoce.playback.ack")[-1]["played_ms"] == 6_000


def test_a_lost_session_begins_afresh_and_says_so(stand_in: StandIn, open_page: Any) -> None:
    page = open_page(stand_in.url)
    page.locator("#talk").click()
    wait_for_state(page, "speaking")
    stand_in.forget()
    stand_in.drop()
    page.locator(".line.note", has_text="begins afresh").wait_for()
    wait_for_state(page, "listening", "hearing")
    assert len(stand_in.of_type("session.update")) == 2


def test_typing(open_page: Any) -> None:
    with StandIn(listen=False, answer_s=1.0) as stand_in:
        page = open_page(stand_in.url, tapped=False)
        page.locator("#message").fill("Good evening")
        page.keyboard.press("Enter")
        wait_for_state(page, "speaking")
        wait_for_state(page, "muted")
        assert page.locator(".line.user .said").inner_text() == "Good evening"
        assert page.locator(".line.assistant .said").inner_text() == ANSWER
        assert not stand_in.of_type("input_audio_buffer.append"), "the microphone stays shut"
        with page.expect_download() as download:
            page.locator("#save").click()
        assert download.value.path().read_text() == f"You: Good evening\n\nViva: {ANSWER}\n"
        no_faults(page)


def test_push_to_talk_with_the_space_bar(open_page: Any) -> None:
    with StandIn(answer_s=2.0) as stand_in:
        page = open_page(stand_in.url)
        page.locator("#open-settings").click()
        page.get_by_text("Hold to talk").click()
        page.keyboard.press("Escape")
        page.locator("h1").click()
        page.keyboard.down("Space")
        wait_for_state(page, "hearing")
        page.wait_for_timeout(500)
        page.keyboard.up("Space")
        wait_for_state(page, "speaking")
        assert stand_in.of_type("session.update")[-1]["session"]["audio"]["input"]["turn_detection"] is None
        assert [len(stand_in.of_type(f"input_audio_buffer.{kind}")) for kind in ("commit", "clear")] == [1, 0]
        sent = len(stand_in.of_type("input_audio_buffer.append"))
        page.wait_for_timeout(300)
        assert len(stand_in.of_type("input_audio_buffer.append")) == sent
        page.keyboard.down("Space")
        wait_until(page, lambda: bool(stand_in.of_type("conversation.item.truncate")), "a truncation")
        page.keyboard.up("Space")


def test_the_camera_is_shown_in_small_pictures(open_page: Any) -> None:
    with StandIn(listen=False) as stand_in:
        page = open_page(stand_in.url)
        page.locator("#talk").click()
        wait_for_state(page, "listening")
        page.locator("#camera-toggle").click()

        def frames() -> list[str]:
            events = stand_in.of_type("input_audio_buffer.append")
            return [frame for event in events for frame in event.get("vivavoce", {}).get("frames", [])]

        began = time.monotonic()
        wait_until(page, lambda: len(frames()) >= 3, "camera frames")
        assert time.monotonic() - began > 0.9, "at most two a second"
        jpeg = base64.b64decode(frames()[-1].removeprefix("data:image/jpeg;base64,"))
        picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
        assert picture.shape == (336, 448, 3)
        blue, green, red = picture[168, 224]
        assert red > 200
        assert max(blue, green) < 60
        page.locator("#camera-toggle").click()
        page.locator("#camera").wait_for(state="hidden")
        no_faults(page)


def test_a_muted_microphone_sends_silence(open_page: Any) -> None:
    with StandIn(listen=False) as stand_in:
        page = open_page(stand_in.url, silence_s=0.0)
        page.locator("#talk").click()
        wait_for_state(page, "listening")
        page.locator("#mute").click()
        assert page.locator("#mute").get_attribute("aria-pressed") == "true"
        wait_for_state(page, "muted")
        page.wait_for_timeout(200)
        seen = len(stand_in.of_type("input_audio_buffer.append"))
        page.wait_for_timeout(300)
        later = stand_in.of_type("input_audio_buffer.append")[seen:]
        assert later
        assert all(not any(base64.b64decode(event["audio"])) for event in later)
        assert all(len(base64.b64decode(event["audio"])) == 960 for event in later)


def test_a_key_is_asked_for_and_used(open_page: Any) -> None:
    with StandIn(token="sesame", listen=False) as stand_in:
        page = open_page(stand_in.url)
        page.locator("#talk").click()
        page.locator("#token[open]").wait_for()
        page.locator("#token input[type=password]").fill("wrong")
        page.get_by_role("button", name="Connect").click()
        page.locator("#token[open]").wait_for()
        page.locator("#token input[type=password]").fill("sesame")
        page.keyboard.press("Enter")
        wait_for_state(page, "listening")
        assert "sesame" not in page.evaluate(
            "JSON.stringify({...localStorage, ...sessionStorage}) + location.href"
        )


def test_an_error_of_the_daemon_is_shown_and_goes_away(open_page: Any) -> None:
    with StandIn(listen=False) as stand_in:
        page = open_page(stand_in.url)
        page.locator("#talk").click()
        wait_for_state(page, "listening")
        stand_in.send({"type": "error", "error": {"code": "engine_error", "message": "The model failed."}})
        page.get_by_role("alert").get_by_text("The model failed.").wait_for()
        page.get_by_role("button", name="Dismiss").click()
        assert page.locator(".toast").count() == 0
        assert page.locator("body").get_attribute("data-state") == "listening"


def test_preferences_reach_the_session_and_are_kept(open_page: Any) -> None:
    with StandIn(listen=False) as stand_in:
        page = open_page(stand_in.url, color_scheme="light")
        page.locator("#open-settings").click()
        page.get_by_label("Style").select_option("cheerful")
        page.get_by_label("Patience").select_option("low")
        page.get_by_label("Colours").select_option("dark")
        page.keyboard.press("Escape")
        page.reload()
        assert page.locator("html").get_attribute("data-theme") == "dark"
        page.locator("#talk").click()
        wait_for_state(page, "listening")
        session = stand_in.of_type("session.update")[-1]["session"]
        assert session["vivavoce"]["style"] == "cheerful"
        assert session["audio"]["input"]["turn_detection"] == {"type": "semantic_vad", "eagerness": "low"}
        page.locator("#open-settings").click()
        page.get_by_label("Microphone").locator("option").nth(1).wait_for(state="attached")


def test_everything_fits_on_a_phone_and_can_be_reached_by_keyboard(open_page: Any) -> None:
    with StandIn(listen=False) as stand_in:
        page = open_page(
            stand_in.url, viewport={"width": 360, "height": 640}, reduced_motion="reduce", tapped=False
        )
        page.locator("#talk").click()
        wait_for_state(page, "listening")
        stand_in.ask("What do you hear?")
        wait_for_state(page, "speaking")
        wide, high = page.evaluate(
            "[document.documentElement.scrollWidth, document.documentElement.scrollHeight]"
        )
        assert (wide, high) == (360, 640)
        reached = set()
        for _ in range(16):
            page.keyboard.press("Tab")
            reached.add(page.evaluate("document.activeElement.id"))
        assert reached >= {
            "open-settings",
            "talk",
            "lines",
            "mute",
            "camera-toggle",
            "message",
            "send",
            "stop",
            "latency",
        }
        page.locator("#announce", has_text=ANSWER[:20]).wait_for(state="attached")
        no_faults(page)
