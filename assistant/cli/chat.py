"""``vivavoce chat``: talk by typing; the answer streams."""

import json
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from assistant.errors import UsageError, WeightsError

if TYPE_CHECKING:
    from assistant.model.conversation import Conversation
    from assistant.model.generate import Limits

DEFAULT_MODEL = "smollm2-135m-instruct"
DEFAULT_SYSTEM = "You are Viva, a friendly assistant. Answer briefly and plainly."
WEIGHT_FILES = ("model.gguf", "model.safetensors")


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(chat)


def chat(
    model: Annotated[str, typer.Option(help="A model's name, a .gguf file or a folder.")] = DEFAULT_MODEL,
    once: Annotated[str | None, typer.Option(help="Ask this and leave.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="With --once: print one line of JSON.")] = False,
    system: Annotated[str, typer.Option(help="What the assistant is told first.")] = DEFAULT_SYSTEM,
    temperature: Annotated[float, typer.Option(min=0.0, help="0 always takes the likeliest word.")] = 0.0,
    seed: Annotated[int, typer.Option(help="For temperatures above 0.")] = 0,
    max_tokens: Annotated[int, typer.Option(min=1, help="Longest answer.")] = 512,
) -> None:
    """Chat by typing. Ctrl-C stops an answer, Ctrl-D leaves."""
    if as_json and once is None:
        raise UsageError("--json goes with --once: an interactive chat prints text")
    if once is not None:
        check_text(once)
    check_text(system)
    weights = find_weights(model)
    from assistant.model.chat import Message
    from assistant.model.checkpoint import load_checkpoint
    from assistant.model.conversation import Conversation
    from assistant.model.generate import Limits
    from assistant.model.sampling import Sampling

    checkpoint = load_checkpoint(weights)
    conversation = Conversation(checkpoint.decoder, checkpoint.tokenizer)
    conversation.add(Message("system", system))
    limits = Limits(max_tokens=max_tokens, sampling=Sampling(temperature, top_p=0.95), seed=seed)
    if once is None:
        converse(conversation, limits)
        return
    conversation.add(Message("user", once))
    report = Report.of(conversation, limits, echo=not as_json)
    if as_json:
        print(report.line())


def find_weights(model: str) -> Path:
    """Give the weight file of a model by name, or the path itself if it is one."""
    path = Path(model).expanduser()
    if path.exists() or path.suffix in {".gguf", ".safetensors"} or len(path.parts) > 1:
        if not path.exists():
            raise WeightsError(f"no weights at {path}: give a .gguf file or a folder with model.safetensors")
        return path
    from assistant.weights import manifest, store

    names = [file.name for file in manifest.load(model).files]
    for name in WEIGHT_FILES:
        if name in names:
            return store.path(model, name)
    raise UsageError(f"{model} is not a language model; see `vivavoce models list`")


def check_text(text: str) -> None:
    """Refuse an empty text and bytes that were no UTF-8."""
    if not text.strip():
        raise UsageError("the text is empty: say something")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise UsageError("the text is not UTF-8: set the terminal's encoding to UTF-8") from None


@dataclass(frozen=True, slots=True)
class Report:
    """One answer and how long it took."""

    text: str
    prompt_tokens: int
    tokens: int
    ttft_ms: float
    tokens_per_s: float  # after the first token

    @classmethod
    def of(cls, conversation: "Conversation", limits: "Limits", echo: bool) -> "Report":
        """Answer the conversation, printing pieces as they come if ``echo``."""
        prompt, dropped = conversation.prompt()
        if dropped:
            seen = conversation.cache.shape
            print(
                f"vivavoce: the prompt is {dropped} tokens longer than the window; "
                f"its first {seen.sinks} and newest {seen.window} tokens are kept",
                file=sys.stderr,
            )
        text, times, start = "", [], time.perf_counter()
        with suppress(KeyboardInterrupt):
            for piece in conversation.answer(limits):
                if piece.token is not None:
                    times.append(time.perf_counter())
                text += piece.text
                if echo:
                    print(piece.text, end="", flush=True)
        if echo:
            print()
        tokens = len(times)
        first = times[0] if times else time.perf_counter()
        spent = times[-1] - first if len(times) > 1 else 0.0
        rate = (len(times) - 1) / spent if spent else 0.0
        return cls(text, len(prompt), tokens, round(1000 * (first - start), 1), round(rate, 1))

    def line(self) -> str:
        """Give the report as one line of JSON."""
        fields = ("text", "prompt_tokens", "tokens", "ttft_ms", "tokens_per_s")
        return json.dumps({name: getattr(self, name) for name in fields}, ensure_ascii=False)


def converse(conversation: "Conversation", limits: "Limits") -> None:
    """Read lines and answer them until the input ends."""
    from assistant.model.chat import Message

    with suppress(ImportError):
        import readline  # noqa: F401 - importing it gives input() its line editing
    prompt = "> " if sys.stdin.isatty() else ""
    while True:
        try:
            line = input(prompt)
        except EOFError:
            return
        except KeyboardInterrupt:
            print()
            continue
        except UnicodeDecodeError:
            line = "\udcff"  # what the terminal sent was no UTF-8: refused below
        if not line.strip():
            continue
        check_text(line)
        conversation.add(Message("user", line))
        Report.of(conversation, limits, echo=True)
