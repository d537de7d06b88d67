"""
MCP: the sessions and clients that speak to a server of the Model Context Protocol.

A call of a tool is a tool's, whatever the tool does with the server's memory:
only the server knows.  A resource is a frame, named by its URI.  What else is
asked of the server is recorded too, so that a play needs none.
"""

from __future__ import annotations

from replaykit.adapters.reviving import reviving
from replaykit.operations import Adapter, MethodMap, Operation

__all__ = ["ADAPTER"]

_RESULTS = (
    "Annotations AudioContent BlobResourceContents CallToolResult CompleteResult Completion EmbeddedResource "
    "EmptyResult GetPromptResult Icon ImageContent Implementation InitializeResult InputRequiredResult "
    "ListPromptsResult ListResourceTemplatesResult ListResourcesResult ListToolsResult Prompt PromptArgument "
    "PromptMessage PromptsCapability ReadResourceResult Resource ResourceLink ResourceTemplate "
    "ResourcesCapability ServerCapabilities TextContent TextResourceContents Tool ToolAnnotations "
    "ToolExecution ToolsCapability"
)

# Where releases before 2.0, and those since, have them.
_thaw = reviving(*(f"{home}.{name}" for home in ("mcp.types", "mcp_types._types") for name in _RESULTS.split()))

# What goes along with a call and does not change what it answers.
_OMITTED = ("cache_mode", "meta", "progress_callback", "read_timeout_seconds")

_TOOL = Operation(kind="tool", omits=_OMITTED, thaw=_thaw)

_OTHERS = (
    "list_tools list_resource_templates list_prompts get_prompt complete send_ping set_logging_level "
    "subscribe_resource unsubscribe_resource"
)

_ASKED = {
    "call_tool": _TOOL,
    "read_resource": Operation(kind="find", by_id=True, ids="arguments.uri", omits=_OMITTED, thaw=_thaw),
    "list_resources": Operation(
        kind="find", query="arguments.none", ids="result.resources.*.uri", omits=_OMITTED, thaw=_thaw
    ),
    **dict.fromkeys(_OTHERS.split(), _TOOL),
}

_SESSION = MethodMap(
    operations={**_ASKED, "initialize": _TOOL},
    ignored=(
        "adopt dispatch_input_request get_server_capabilities send_notification send_progress_notification "
        "send_roots_list_changed validate_tool_result"
    ),
)

_CLIENT = MethodMap(
    operations=_ASKED,
    derives="session",
    ignored="send_progress_notification send_roots_list_changed",
)

_GROUP = MethodMap(
    operations={"call_tool": _TOOL},
    derives="connect_to_server connect_with_session sessions",
    ignored="disconnect_from_server",
)

ADAPTER = Adapter(
    classes={
        "mcp.client.session.ClientSession": _SESSION,
        "mcp.client.client.Client": _CLIENT,
        "mcp.client.session_group.ClientSessionGroup": _GROUP,
    }
)
