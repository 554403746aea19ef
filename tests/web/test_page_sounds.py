"""What comes out of the page's loudspeaker, written down by a recogniser that nobody here made."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.web.stand_in import ANSWER, StandIn
from tests.web.test_page import heard, wait_for_state

pytestmark = [pytest.mark.browser, pytest.mark.weights, pytest.mark.judges]


def test_the_answer_can_be_understood(open_page: Any, tmp_path: Path) -> None:
    """The page adds no errors to those of the voice itself."""
    from assistant.bench.judges.words import Whisper, word_error
    from tests.web.screenshots import spoken

    pcm, mel = spoken(ANSWER, tmp_path)
    with StandIn(sound=(pcm, mel)) as stand_in:
        page = open_page(stand_in.url)
        page.locator("#talk").click()
        wait_for_state(page, "speaking")
        wait_for_state(page, "listening")
        blocks, _ = heard(page)
    played = blocks.ravel().astype(np.float32) / 32768
    given = np.frombuffer(pcm, "<i2").astype(np.float32) / 32768
    whisper = Whisper()
    by_page, by_voice = (word_error(ANSWER, whisper.hear(sound)) for sound in (played, given))
    assert by_page.edits <= by_voice.edits
    assert by_page.percent < 30
