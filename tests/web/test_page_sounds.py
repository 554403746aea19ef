"""What comes out of the page's loudspeaker, written down by a recogniser that nobody here made."""

from typing import Any

import numpy as np
import pytest

from tests.web.stand_in import ANSWER, StandIn
from tests.web.test_page import heard, wait_for_state

pytestmark = [pytest.mark.browser, pytest.mark.weights, pytest.mark.judges]


def test_the_answer_can_be_understood(open_page: Any) -> None:
    pytest.importorskip("hibari", reason="needs bin/setup --extra train: a clear voice")
    from assistant.bench.judges.words import Whisper, word_error
    from assistant.bench.speech import Hibari

    pcm = (Hibari().say(ANSWER).audio * 32767).astype("<i2")
    mel = np.full((len(pcm) // 240 + 1, 100), 200, np.uint8)
    with StandIn(sound=(pcm.tobytes(), mel)) as stand_in:
        page = open_page(stand_in.url)
        page.locator("#talk").click()
        wait_for_state(page, "speaking")
        wait_for_state(page, "listening")
        played = heard(page)[0].ravel().astype(np.float32) / 32768
    assert word_error(ANSWER, Whisper().hear(played)).percent <= 5
