"""How fast single steps and batches are, against transformers, llama.cpp and what memory allows, in one run.

All candidates take turns for several rounds, because the machine may be doing other things; of each the
best round counts.
"""

import contextlib
import gc
import io
import os
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch

from assistant.model.checkpoint import Checkpoint, load_checkpoint
from assistant.paths import cache_dir

PROMPT = "Write a short story about a lighthouse keeper who finds a letter in a bottle."
BATCH = 8
READ_BYTES = 512 << 20  # far larger than any processor's cache


@dataclass(frozen=True, slots=True)
class Setup:
    """How much to measure."""

    tokens: int = 48
    rounds: int = 3
    threads: int = field(default_factory=torch.get_num_threads)


@dataclass(frozen=True, slots=True)
class Speed:
    """Best of all rounds."""

    name: str
    tokens_per_s: float
    note: str = ""


@dataclass(frozen=True, slots=True)
class DecodeReport:
    """All figures of one run; ratios are what the project promises."""

    speeds: tuple[Speed, ...]
    read_gb_per_s: float
    step_mb: float
    missing: tuple[str, ...]  # what could not be measured, and why

    def of(self, name: str) -> float | None:
        """Tokens per second of one candidate."""
        return next((speed.tokens_per_s for speed in self.speeds if speed.name == name), None)

    @property
    def memory_ratio(self) -> float:
        """Time of a step over the time to read its weights once; 1 is the limit."""
        single = self.of("int8 x 1")
        assert single is not None
        return (1 / single) / (self.step_mb / 1e3 / self.read_gb_per_s)


def measure_decode(path: Path, setup: Setup) -> DecodeReport:
    """Measure everything that is installed, in turns."""
    torch.set_num_threads(setup.threads)
    checkpoint = load_checkpoint(path)
    candidates: dict[str, Callable[[], float]] = {
        "int8 x 1": lambda: _ours(checkpoint, 1, setup.tokens),
        f"int8 x {BATCH}": lambda: _ours(checkpoint, BATCH, setup.tokens),
    }
    missing: list[str] = []
    for name, make in (("transformers bf16", _transformers), ("llama.cpp Q8_0", _llama_cpp)):
        try:
            candidates[name] = make(path, setup)
        except (ImportError, OSError, RuntimeError, ValueError) as error:
            missing.append(f"{name}: {error}")
    best = dict.fromkeys(candidates, 0.0)
    read = 0.0
    block = torch.ones(READ_BYTES // 4)
    for _ in range(setup.rounds):
        read = max(read, _read_speed(block))
        for name, run in candidates.items():
            best[name] = max(best[name], run())
    speeds = tuple(Speed(name, value) for name, value in best.items())
    return DecodeReport(speeds, read / 1e9, checkpoint.step_bytes / 1e6, tuple(missing))


def _read_speed(block: torch.Tensor) -> float:
    """Bytes per second of summing a large block, all threads; the best of a few."""
    times = []
    for _ in range(4):
        start = time.perf_counter()
        block.sum()
        times.append(time.perf_counter() - start)
    return block.nbytes / min(times)


def _ours(checkpoint: Checkpoint, batch: int, tokens: int) -> float:
    """Tokens per second of all sessions together, greedy, prefill not counted."""
    decoder = checkpoint.decoder
    ids = torch.tensor(checkpoint.tokenizer.encode(PROMPT))
    first = decoder.new_cache()
    logits = decoder.prefill(first, ids).logits
    caches = [first, *(first.fork() for _ in range(batch - 1))]
    chosen = logits.argmax(-1).repeat(batch)
    start = time.perf_counter()
    for _ in range(tokens):
        chosen = decoder.decode_step(caches, chosen).logits.argmax(-1)
    return batch * tokens / (time.perf_counter() - start)


def _transformers(path: Path, setup: Setup) -> Callable[[], float]:
    """The library's own generate in bfloat16, greedy, as it comes."""
    with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):  # progress bars
        warnings.simplefilter("ignore")
        from transformers import AutoModelForCausalLM, logging

        logging.set_verbosity_error()
        logging.disable_progress_bar()
        model = AutoModelForCausalLM.from_pretrained(
            str(path.parent), gguf_file=path.name, dtype=torch.bfloat16
        )
    gc.collect()
    ids = torch.tensor([load_checkpoint(path).tokenizer.encode(PROMPT)])
    mask = torch.ones_like(ids)

    def generate(tokens: int) -> float:
        start = time.perf_counter()
        model.generate(
            ids,
            attention_mask=mask,
            do_sample=False,
            min_new_tokens=tokens,
            max_new_tokens=tokens,
            pad_token_id=0,
        )
        return time.perf_counter() - start

    def run() -> float:
        few, many = generate(4), generate(4 + setup.tokens)
        return setup.tokens / (many - few) if many > few else 0.0

    return run


def _llama_cpp(path: Path, setup: Setup) -> Callable[[], float]:
    """llama.cpp on the same weights as Q8_0, written once by its own converter."""
    import llama_cpp

    q8 = cache_dir() / "bench" / f"{path.parent.name}-q8_0.gguf"
    if not q8.is_file():
        q8.parent.mkdir(parents=True, exist_ok=True)
        partial = q8.with_suffix(".part")
        wanted = llama_cpp.llama_model_quantize_default_params()
        wanted.ftype, wanted.allow_requantize = llama_cpp.LLAMA_FTYPE_MOSTLY_Q8_0, True
        if llama_cpp.llama_model_quantize(str(path).encode(), str(partial).encode(), wanted):
            raise RuntimeError(f"llama.cpp cannot convert {path} to Q8_0")
        partial.replace(q8)
    llama = llama_cpp.Llama(str(q8), n_ctx=2048, n_threads=setup.threads, verbose=False)
    prompt = llama.tokenize(PROMPT.encode())

    def run() -> float:
        llama.reset()
        llama.eval(prompt)
        start = time.perf_counter()
        for _ in range(setup.tokens):
            llama.eval([llama.sample(temp=0.0)])
        return setup.tokens / (time.perf_counter() - start)

    return run


def processor() -> str:
    """Name the processor for the report."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    name = next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "processor"
    )
    return f"{name}, {os.cpu_count()} cores"
