"""The textual form in which tools stand in the system prompt and in the conversation."""

import json
from collections.abc import Sequence

from assistant.session.settings import Tool

HEADER = (
    "# Tools\nYou may call one of these functions. To call one, answer with nothing but\n"
    '<tool_call>{"name": "NAME", "arguments": {…}}</tool_call>'
)


def with_tools(instructions: str, tools: Sequence[Tool], choice: str) -> str:
    """Write tools behind the instructions. ``choice``: "none", "auto", "required" or a tool's name."""
    if not tools or choice == "none":
        return instructions
    lines = [instructions, "", HEADER]
    for tool in tools:
        entry = {
            "name": tool.name,
            "description": tool.description,
            "parameters": json.loads(tool.parameters),
        }
        lines.append(json.dumps(entry, ensure_ascii=False))
    if choice == "required":
        lines.append("You must call one of them now.")
    elif choice != "auto":
        lines.append(f"You must call {choice} now.")
    return "\n".join(lines)


def call_text(name: str, arguments: str) -> str:
    """A tool call as the assistant writes it; arguments that are no JSON stand as a string."""
    try:
        value = json.loads(arguments)
    except ValueError:
        value = arguments
    return f"<tool_call>{json.dumps({'name': name, 'arguments': value}, ensure_ascii=False)}</tool_call>"
