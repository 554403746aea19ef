"""Client events from JSON to the session core's values."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from assistant.protocol import settings as wire
from assistant.protocol.pictures import picture
from assistant.protocol.reading import Fields, WireLimits
from assistant.protocol.sound import SoundReader
from assistant.session import events as ev
from assistant.session.clock import count
from assistant.session.errors import Refused
from assistant.session.items import Item, Part
from assistant.session.settings import STYLES, ReplyOptions

LONGEST_SOUND_MS = 24 * 3_600_000
KINDS = ("message", "function_call", "function_call_output")
ROLES = ("user", "assistant", "system")
MAX_FRAMES = 8
MAX_PARTS = 32
MAX_ITEMS = 256
MAX_METADATA = 16


@dataclass(slots=True)
class Reader:
    """Reads one session's client events; holds the session object and the state of the appended sound."""

    session: dict[str, Any]
    limits: WireLimits = field(default_factory=WireLimits)
    extended: bool = False  # the client asked for extensions
    extension: dict[str, Any] = field(default_factory=dict)
    _sound: SoundReader = field(default_factory=SoundReader)

    def read(self, message: dict[str, Any]) -> ev.ClientEvent:
        """Turn a message into an event. Raises Refused for an unknown type or a bad field."""
        fields = Fields(message)
        kind = fields.text("type", self.limits.id_characters)
        read = self._readers().get(kind)
        if read is None:
            raise Refused("unknown_event", f"There is no client event {kind[:64]!r}.", param="type")
        return read(fields)

    def event_id(self, message: dict[str, Any]) -> str | None:
        """The client's own id of a message. Raises Refused when it is no short string."""
        return Fields(message).optional("event_id", self.limits.id_characters)

    def settings(self) -> ev.Configure:
        """The settings in effect, for the core."""
        extension = {**self.extension, "on": self.extended}
        return ev.Configure(wire.core(self.session, extension, self.limits))

    def _readers(self) -> dict[str, Callable[[Fields], ev.ClientEvent]]:
        readers: dict[str, Callable[[Fields], ev.ClientEvent]] = {
            "session.update": self._update,
            "input_audio_buffer.append": self._append,
            "input_audio_buffer.commit": lambda _: ev.CommitAudio(),
            "input_audio_buffer.clear": lambda _: ev.ClearAudio(),
            "conversation.item.create": self._create_item,
            "conversation.item.retrieve": lambda fields: ev.RetrieveItem(self._item_id(fields)),
            "conversation.item.delete": lambda fields: ev.DeleteItem(self._item_id(fields)),
            "conversation.item.truncate": self._truncate,
            "response.create": self._create_reply,
            "response.cancel": self._cancel,
            "output_audio_buffer.clear": lambda _: ev.ClearOutput(),
        }
        if self.extended:
            readers["vivavoce.playback.ack"] = self._played
        return readers

    def _item_id(self, fields: Fields) -> str:
        return fields.text("item_id", self.limits.id_characters)

    def _update(self, fields: Fields) -> ev.ClientEvent:
        patch = fields.need("session")
        session = wire.merged(self.session, patch, self.limits)
        extension = dict(self.extension)
        if self.extended and patch.get("vivavoce") is not None:
            given = Fields(patch, "session").object("vivavoce")
            for name in ("echo_cancelled", "mel"):
                if name in given:
                    extension[name] = given.flag(name, False)
            if "style" in given:
                extension["style"] = given.choice("style", STYLES)
        self.session, self.extension = session, extension
        kind = session["audio"]["input"]["format"]["type"]
        if kind != self._sound.kind:
            self._sound = SoundReader(kind)
        return self.settings()

    def _append(self, fields: Fields) -> ev.ClientEvent:
        frames: tuple[bytes, ...] = ()
        if self.extended and fields.value.get("vivavoce") is not None:
            given = fields.object("vivavoce")
            urls = given.items("frames", MAX_FRAMES)
            frames = tuple(picture(url, self.limits, given.at("frames")) for url in urls)
        return ev.AppendAudio(self._sound.read(fields.need("audio"), "audio"), frames)

    def _truncate(self, fields: Fields) -> ev.ClientEvent:
        index = fields.integer("content_index", 0, MAX_PARTS)
        end_ms = fields.integer("audio_end_ms", 0, LONGEST_SOUND_MS)
        return ev.TruncateItem(self._item_id(fields), index, end_ms)

    def _cancel(self, fields: Fields) -> ev.ClientEvent:
        return ev.CancelReply(fields.optional("response_id", self.limits.id_characters))

    def _played(self, fields: Fields) -> ev.ClientEvent:
        return ev.Played(self._item_id(fields), fields.integer("played_ms", 0, LONGEST_SOUND_MS))

    def _create_item(self, fields: Fields) -> ev.ClientEvent:
        previous = fields.optional("previous_item_id", self.limits.id_characters)
        return ev.CreateItem(self._item(fields.object("item")), previous)

    def _create_reply(self, fields: Fields) -> ev.ClientEvent:
        given = fields.value.get("response")
        if given is None:
            return ev.CreateReply(ReplyOptions())
        return ev.CreateReply(
            self._options(Fields(wire.unflattened(fields.object("response").value), "response"))
        )

    def _options(self, fields: Fields) -> ReplyOptions:
        limits, value = self.limits, fields.value
        output = fields.object("audio").value.get("output") if value.get("audio") is not None else None
        given = Fields(output, fields.at("audio.output")) if output is not None else None
        has_format = given is not None and given.value.get("format") is not None
        return ReplyOptions(
            instructions=fields.optional("instructions", limits.text_characters),
            aloud=modalities if (modalities := self._modalities(fields)) is not None else None,
            tools=wire.tools(fields, limits) if value.get("tools") is not None else None,
            tool_choice=wire.tool_choice(fields, limits) if value.get("tool_choice") is not None else None,
            max_tokens=wire.max_tokens(fields) if value.get("max_output_tokens") is not None else None,
            metadata=self._metadata(fields),
            detached=self._conversation(fields),
            input=self._input(fields),
            output_format=wire.audio_format(given)["type"] if given is not None and has_format else None,
        )

    def _modalities(self, fields: Fields) -> bool | None:
        return wire.modalities(fields) if fields.value.get("output_modalities") is not None else None

    def _conversation(self, fields: Fields) -> bool:
        if fields.value.get("conversation") is None:
            return False
        return fields.choice("conversation", ["auto", "none"]) == "none"

    def _metadata(self, fields: Fields) -> dict[str, str] | None:
        if fields.value.get("metadata") is None:
            return None
        given = fields.object("metadata")
        if len(given.value) > MAX_METADATA:
            raise fields.wrong("metadata", f"an object of at most {MAX_METADATA} entries")
        return {key: given.text(key, 512) for key in given.value}

    def _input(self, fields: Fields) -> tuple[object, ...] | None:
        if fields.value.get("input") is None:
            return None
        result: list[object] = []
        for index, entry in enumerate(fields.items("input", MAX_ITEMS)):
            item = Fields(entry, f"{fields.at('input')}.{index}")
            if item.value.get("type") == "item_reference":
                result.append(item.text("id", self.limits.id_characters))
            else:
                result.append(self._item(item))
        return tuple(result)

    def _item(self, fields: Fields) -> Item:
        kind = fields.choice("type", KINDS, "message")
        item_id = fields.optional("id", self.limits.id_characters) or ""
        limit = self.limits.text_characters
        if kind == "function_call":
            call_id = fields.optional("call_id", self.limits.id_characters) or ""
            name = fields.text("name", self.limits.id_characters)
            return Item(item_id, kind, call_id=call_id, name=name, arguments=fields.text("arguments", limit))
        if kind == "function_call_output":
            call_id = fields.text("call_id", self.limits.id_characters)
            return Item(item_id, kind, call_id=call_id, output=fields.text("output", limit))
        role = fields.choice("role", ROLES)
        fields.need("content")
        entries = fields.items("content", MAX_PARTS)
        parts = tuple(
            self._part(Fields(entry, f"{fields.at('content')}.{index}"), role)
            for index, entry in enumerate(entries)
        )
        if not parts:
            raise Refused("invalid_item", "A message needs content.", param=fields.at("content"))
        return Item(item_id, kind, role, parts)

    def _part(self, fields: Fields, role: str) -> Part:
        limit = self.limits.text_characters
        if role == "system":
            fields.choice("type", ["input_text"])
            return Part("text", fields.text("text", limit))
        if role == "assistant":
            kind = fields.choice("type", ["output_text", "text", "output_audio", "audio"])
            name = "transcript" if kind.endswith("audio") else "text"
            return Part("text", fields.text(name, limit))
        kind = fields.choice("type", ["input_text", "input_audio", "input_image"])
        if kind == "input_text":
            return Part("text", fields.text("text", limit))
        if kind == "input_image":
            return Part("image", data=picture(fields.need("image_url"), self.limits, fields.at("image_url")))
        reader = SoundReader(self._sound.kind)
        pcm = reader.read(fields.need("audio"), fields.at("audio"))
        if not pcm:
            raise Refused("invalid_audio", "This part holds no sound.", param=fields.at("audio"))
        return Part("audio", fields.optional("transcript", limit), count(pcm), pcm)
