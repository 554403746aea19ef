"""Settings: defaults, then the file, then ``VIVAVOCE_*`` variables, then flags; the later one wins.

Variables name nested settings with two underscores: ``VIVAVOCE_SERVER__PORT=9000``. A setting that does not
exist is refused with the ones that do. Tokens are kept as SHA-256 digests only and never shown.
"""

import difflib
import json
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from assistant.errors import ConfigError
from assistant.paths import config_file

PREFIX = "VIVAVOCE_"
NO_SETTINGS = {"VIVAVOCE_CACHE", "VIVAVOCE_CONFIG", "VIVAVOCE_PYTHON", "VIVAVOCE_TOKEN"}  # places and secrets

Count = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0)]


class Limits(BaseModel):
    """What one client may ask of the daemon."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    message_bytes: Annotated[int, Field(ge=65536, le=16 << 20)] = 4 << 20  # largest websocket message taken
    delta_bytes: Count = 256 << 10  # largest message sent; common clients refuse more than 1 MiB
    audio_rate: Annotated[float, Field(ge=1.0)] = 3.0  # times real time, averaged
    audio_buffer_s: Seconds = 60.0
    image_bytes: Count = 2 << 20
    image_pixels: Count = 8_000_000
    images_per_s: Seconds = 2.0  # newer frames replace older ones above this
    idle_s: Seconds = 300.0
    session_s: Seconds = 3600.0
    ping_s: Seconds = 20.0
    handshake_s: Seconds = 10.0
    queue_bytes: Count = 8 << 20  # unsent output of one session before it is cancelled and closed
    json_depth: Count = 32
    id_characters: Count = 256
    connections_per_address: Count = 4  # loopback is not counted


class ServerSettings(BaseModel):
    """The daemon."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8765
    tokens: tuple[SecretStr, ...] = ()  # SHA-256 digests, in hexadecimal
    origins: tuple[str, ...] = ()  # web pages from elsewhere that may connect, as scheme://host:port
    tls_cert: Path | None = None
    tls_key: Path | None = None
    max_sessions: Count = 4
    insecure: bool = False  # listen beyond this machine without a token
    limits: Limits = Limits()

    @field_validator("tokens")
    @classmethod
    def _are_digests(cls, tokens: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        for token in tokens:
            text = token.get_secret_value()
            if len(text) != 64 or set(text) - set("0123456789abcdef"):
                raise ValueError("a token is kept as its SHA-256: 64 lower-case hexadecimal digits")
        return tokens


class Settings(BaseSettings):
    """Everything that a person may set."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True
    )

    model: str = "viva-tiny"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: Annotated[int, Field(ge=0)] = 0  # 0: as many as there are cores
    offline: bool = False  # never fetch weights
    server: ServerSettings = ServerSettings()


def load(file: Path | None = None, flags: Mapping[str, Any] | None = None) -> Settings:
    """Read the settings.

    Args:
        file: a TOML file that must exist; the user's own, which may be missing, when left out.
        flags: values from the command line, nested like the file; None means "not given".

    Raises:
        ConfigError: the file cannot be read, or a setting is unknown, of the wrong kind or out of range.
    """
    _refuse_unknown_variables()
    place = file or config_file()
    values = _read(place, must_exist=file is not None)

    class Placed(Settings):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return (init_settings, env_settings, InitSettingsSource(settings_cls, values))

    try:
        return Placed(**_given(flags or {}))
    except ValidationError as error:
        raise ConfigError(_explain(error, place)) from None
    except ValueError as error:
        raise ConfigError(f"an environment variable cannot be read: {error}") from None


def shown(settings: Settings) -> dict[str, Any]:
    """Give the settings as plain values, secrets redacted."""
    values: dict[str, Any] = json.loads(settings.model_dump_json())
    return values


def template() -> str:
    """Give a settings file with every setting at its default, commented out."""
    lines = ["# Settings of Viva Voce. Each line shows the default: take the # away to change it.", ""]
    _emit(Settings.model_fields, shown(Settings.model_construct()), "", lines)
    return "\n".join(lines) + "\n"


def known() -> list[str]:
    """Names of all settings, dotted."""
    return _names(Settings, "")


def _names(model: type[BaseModel], prefix: str) -> list[str]:
    found = []
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            found += _names(inner, f"{prefix}{name}.")
        else:
            found.append(prefix + name)
    return found


def _read(place: Path, *, must_exist: bool) -> dict[str, Any]:
    try:
        return tomllib.loads(place.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if must_exist:
            raise ConfigError(f"no settings file {place}; `vivavoce config init` writes one") from None
        return {}
    except OSError as error:
        raise ConfigError(f"cannot read {place}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{place} is not valid TOML: {error}") from None


def _refuse_unknown_variables() -> None:
    valid = {PREFIX + name.upper().replace(".", "__") for name in known()} | NO_SETTINGS
    valid |= {name.rsplit("__", depth)[0] for name in valid for depth in (1, 2)}
    for name in os.environ:
        if name.startswith(PREFIX) and name not in valid:
            near = difflib.get_close_matches(name, valid, 3, 0.6)
            hint = f"did you mean {' or '.join(near)}?" if near else f"valid: {', '.join(sorted(valid))}"
            raise ConfigError(f"no setting {name}; {hint}")


def _explain(error: ValidationError, place: Path) -> str:
    first = error.errors()[0]
    name = ".".join(str(part) for part in first["loc"])
    if first["type"] != "extra_forbidden":
        return f"setting {name}: {first['msg'][:1].lower()}{first['msg'][1:]} ({place} or the environment)"
    near = difflib.get_close_matches(name, known(), 3, 0.6)
    valid = f"did you mean {' or '.join(near)}? " if near else ""
    return f"no setting {name!r} ({place}); {valid}valid: {', '.join(known())}"


def _given(flags: Mapping[str, Any]) -> dict[str, Any]:
    nested = {key: _given(value) if isinstance(value, Mapping) else value for key, value in flags.items()}
    return {key: value for key, value in nested.items() if value is not None and value != {}}


def _emit(fields: Mapping[str, Any], values: dict[str, Any], table: str, lines: list[str]) -> None:
    inner = {name: value for name, value in values.items() if isinstance(value, dict)}
    for name, value in values.items():
        if name in inner:
            continue
        choices = get_args(fields[name].annotation) if fields[name].annotation is not None else ()
        words = [choice for choice in choices if isinstance(choice, str)]
        comment = f"  # one of {', '.join(words)}" if words else ""
        lines.append(
            f'# {name} = "..."  # not set' if value is None else f"# {name} = {json.dumps(value)}{comment}"
        )
    for name, value in inner.items():
        lines += ["", f"[{table}{name}]"]
        _emit(fields[name].annotation.model_fields, value, f"{table}{name}.", lines)
