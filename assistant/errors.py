"""Everything that can go wrong in a way that a person can mend.

AssistantError
 +-- UsageError            the call's words are wrong (exit code 2)
 +-- ConfigError           a setting is unknown or out of range
 +-- WeightsError          weights are missing, damaged or do not fit
 |    +-- UnknownModel     no manifest has that name
 |    +-- DownloadError    a source could not be reached or gave something else
 +-- AudioError            a sound file or stream cannot be used
 +-- DependencyError       an optional package is missing or does not load; the text says how to get it
 +-- ProtocolViolation     a client sent what the protocol forbids
 +-- SessionFull           no free session
 +-- EngineError           the device failed

Each message is one line: what was wrong, what was needed, what to do. Misuse by code is ValueError.
"""


class AssistantError(Exception):
    """Base of all errors that are shown as one line; exit code 1."""

    exit_code = 1


class UsageError(AssistantError):
    """The command was called with words that it cannot use."""

    exit_code = 2


class ConfigError(AssistantError):
    """A setting is unknown, of the wrong kind or out of range."""


class WeightsError(AssistantError):
    """Weights are missing, damaged, or do not fit the model."""


class UnknownModel(WeightsError):
    """No manifest describes a model of that name."""


class DownloadError(WeightsError):
    """A source could not be reached, or what it gave is not what the manifest promises."""


class AudioError(AssistantError):
    """A sound file or stream cannot be used."""


class DependencyError(AssistantError):
    """An optional package is missing or fails to load."""


class ProtocolViolation(AssistantError):
    """A client sent what the protocol forbids."""


class SessionFull(AssistantError):
    """Every session of this daemon is taken."""


class EngineError(AssistantError):
    """The device that runs the model failed."""
