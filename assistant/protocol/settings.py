"""The session object: what ``session.update`` may change, merged and checked, as the core's Settings."""

import copy
import json
from typing import Any

from assistant.protocol.reading import Fields, WireLimits
from assistant.protocol.sound import A_LAW, MU_LAW, PCM
from assistant.session.settings import (
    DEFAULT_INSTRUCTIONS,
    MAX_TOKENS,
    STYLES,
    Settings,
    Tool,
    TurnDetection,
)
from audiocodec.numbers import SAMPLE_RATE

FLAT_FORMATS = {"pcm16": PCM, "g711_ulaw": MU_LAW, "g711_alaw": A_LAW}
# Flat spellings of the beta API and where they belong.
FLAT = {
    "voice": ("audio", "output", "voice"),
    "speed": ("audio", "output", "speed"),
    "input_audio_transcription": ("audio", "input", "transcription"),
    "input_audio_noise_reduction": ("audio", "input", "noise_reduction"),
    "turn_detection": ("audio", "input", "turn_detection"),
    "max_response_output_tokens": ("max_output_tokens",),
}
KEPT = ("tracing", "truncation", "include", "prompt", "parallel_tool_calls", "reasoning")  # echoed, no effect
EAGERNESS = ("low", "medium", "high", "auto")


def initial(session_id: str, model: str, expires_at: int) -> dict[str, Any]:
    """The session object of a new session."""
    return {
        "type": "realtime",
        "object": "realtime.session",
        "id": session_id,
        "model": model,
        "output_modalities": ["audio"],
        "instructions": DEFAULT_INSTRUCTIONS,
        "tools": [],
        "tool_choice": "auto",
        "max_output_tokens": "inf",
        "tracing": None,
        "truncation": "auto",
        "prompt": None,
        "include": None,
        "expires_at": expires_at,
        "audio": {
            "input": {
                "format": {"type": PCM, "rate": SAMPLE_RATE},
                "transcription": None,
                "noise_reduction": None,
                "turn_detection": {
                    "type": "semantic_vad",
                    "eagerness": "auto",
                    "create_response": True,
                    "interrupt_response": True,
                },
            },
            "output": {"format": {"type": PCM, "rate": SAMPLE_RATE}, "voice": "viva", "speed": 1.0},
        },
    }


def merged(session: dict[str, Any], patch: object, limits: WireLimits) -> dict[str, Any]:
    """Lay a patch over the session object, checked. Raises Refused; the old object is never changed."""
    fields = Fields(unflattened(Fields(patch, "session").value), "session")
    result = copy.deepcopy(session)
    if "type" in fields:
        fields.choice("type", ["realtime"])
    if "instructions" in fields:
        result["instructions"] = fields.optional("instructions", limits.text_characters) or ""
    if "output_modalities" in fields:
        result["output_modalities"] = ["audio" if modalities(fields) else "text"]
    if "tools" in fields:
        tools(fields, limits)
        result["tools"] = fields.items("tools", limits.tools)
    if "tool_choice" in fields:
        tool_choice(fields, limits)
        result["tool_choice"] = fields.value["tool_choice"]
    if "max_output_tokens" in fields:
        max_tokens(fields)
        result["max_output_tokens"] = fields.value["max_output_tokens"]
    for name in KEPT:
        if name in fields:
            result[name] = fields.value[name]
    if fields.value.get("audio") is not None:
        _audio(result["audio"], fields.object("audio"), limits)
    return result


def unflattened(patch: dict[str, Any]) -> dict[str, Any]:
    """Put the beta API's flat spellings where they belong today."""
    result = copy.deepcopy(patch)
    if "modalities" in result:
        given = result.pop("modalities")
        words = given if isinstance(given, list) else [given]
        result.setdefault("output_modalities", ["audio"] if "audio" in words else given)
    for side in ("input", "output"):
        flat = result.pop(f"{side}_audio_format", None)
        if flat is not None:
            known = isinstance(flat, str) and flat in FLAT_FORMATS
            _place(result, ("audio", side, "format"), {"type": FLAT_FORMATS[flat] if known else flat})
    for name, path in FLAT.items():
        if name in result and name != path[-1:][0] or name in result and len(path) > 1:
            _place(result, path, result.pop(name))
    return result


def _place(target: dict[str, Any], path: tuple[str, ...], value: object) -> None:
    for name in path[:-1]:
        inner = target.setdefault(name, {})
        if not isinstance(inner, dict):
            return
        target = inner
    target.setdefault(path[-1], value)


def _audio(result: dict[str, Any], fields: Fields, limits: WireLimits) -> None:
    if fields.value.get("input") is not None:
        given, kept = fields.object("input"), result["input"]
        if given.value.get("format") is not None:
            kept["format"] = audio_format(given)
        for name in ("transcription", "noise_reduction"):
            if name in given:
                kept[name] = None if given.value[name] is None else given.object(name).value
        if "turn_detection" in given:
            kept["turn_detection"] = _turn_detection(given)
    if fields.value.get("output") is not None:
        given, kept = fields.object("output"), result["output"]
        if given.value.get("format") is not None:
            kept["format"] = audio_format(given)
        if given.value.get("voice") is not None:
            kept["voice"] = voice(given, limits)
        if "speed" in given:
            kept["speed"] = given.number("speed", 0.25, 1.5, 1.0)


def audio_format(fields: Fields) -> dict[str, Any]:
    """A checked ``format``."""
    if isinstance(fields.value["format"], str):
        word = fields.value["format"]
        inner = Fields({"type": FLAT_FORMATS.get(word, word)}, fields.at("format"))
    else:
        inner = fields.object("format")
    kind = inner.choice("type", [PCM, MU_LAW, A_LAW])
    if kind != PCM:
        return {"type": kind}
    rate = inner.integer("rate", SAMPLE_RATE, SAMPLE_RATE, SAMPLE_RATE)
    return {"type": kind, "rate": rate}


def voice(fields: Fields, limits: WireLimits) -> Any:
    """A voice's name, or an object with its id."""
    if isinstance(fields.value["voice"], dict):
        return {"id": fields.object("voice").text("id", limits.id_characters)}
    return fields.text("voice", limits.id_characters)


def _turn_detection(given: Fields) -> dict[str, Any] | None:
    if given.value["turn_detection"] is None:
        return None
    fields = given.object("turn_detection")
    kind = fields.choice("type", ["server_vad", "semantic_vad"], "server_vad")
    shared = {
        "type": kind,
        "create_response": fields.flag("create_response", True),
        "interrupt_response": fields.flag("interrupt_response", True),
    }
    if kind == "semantic_vad":
        return {**shared, "eagerness": fields.choice("eagerness", EAGERNESS, "auto")}
    idle = fields.value.get("idle_timeout_ms")
    return {
        **shared,
        "threshold": fields.number("threshold", 0.0, 1.0, 0.5),
        "prefix_padding_ms": fields.integer("prefix_padding_ms", 0, 1_000, 300),
        "silence_duration_ms": fields.integer("silence_duration_ms", 100, 10_000, 500),
        "idle_timeout_ms": None if idle is None else fields.integer("idle_timeout_ms", 1_000, 300_000),
    }


def modalities(fields: Fields) -> bool:
    """Whether ``output_modalities`` asks for sound."""
    words = fields.items("output_modalities", 2)
    if words in (["audio"], ["text"]):
        return bool(words == ["audio"])
    if sorted(str(word) for word in words) == ["audio", "text"]:
        return True  # what the beta API sent for sound with its transcript
    raise fields.wrong("output_modalities", '["audio"] or ["text"]')


def tools(fields: Fields, limits: WireLimits) -> tuple[Tool, ...]:
    """Checked tool definitions."""
    result = []
    for index, entry in enumerate(fields.items("tools", limits.tools)):
        tool = Fields(entry, f"{fields.at('tools')}.{index}")
        tool.choice("type", ["function"], "function")
        parameters = tool.value.get("parameters") or {}
        if not isinstance(parameters, dict):
            raise tool.wrong("parameters", "a JSON schema")
        schema = json.dumps(parameters, ensure_ascii=False)
        description = tool.optional("description", limits.text_characters) or ""
        result.append(Tool(tool.text("name", limits.id_characters), description, schema))
    return tuple(result)


def tool_choice(fields: Fields, limits: WireLimits) -> str:
    """``tool_choice`` as a word or as the name of the one function that must be called."""
    if isinstance(fields.value["tool_choice"], dict):
        return fields.object("tool_choice").text("name", limits.id_characters)
    return fields.choice("tool_choice", ["none", "auto", "required"])


def max_tokens(fields: Fields) -> int:
    """``max_output_tokens`` as a number."""
    value = fields.value["max_output_tokens"]
    return MAX_TOKENS if value in ("inf", None) else fields.integer("max_output_tokens", 1, MAX_TOKENS)


def core(session: dict[str, Any], extension: dict[str, Any], limits: WireLimits) -> Settings:
    """The core's settings for a session object and the extension's own settings."""
    fields = Fields(session, "session")
    heard, spoken = session["audio"]["input"], session["audio"]["output"]
    detection = heard["turn_detection"]
    values = {key: value for key, value in (detection or {}).items() if key != "type"}
    return Settings(
        instructions=session["instructions"],
        aloud=session["output_modalities"] == ["audio"],
        tools=tools(fields, limits),
        tool_choice=tool_choice(fields, limits),
        max_tokens=max_tokens(fields),
        transcribe=heard["transcription"] is not None,
        turn_detection=None if detection is None else TurnDetection(kind=detection["type"], **values),
        speed=spoken["speed"],
        style=str(extension.get("style", STYLES[0])),
        echo_cancelled=bool(extension.get("echo_cancelled", False)),
        can_pause=bool(extension.get("on", False)),
    )
