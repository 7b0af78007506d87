"""Result files of the tools that people measure with: trtexec, benchmark_app, benchmark_model and others.

One module per tool knows what it prints; each returns :class:`ToolResult`. The tool is recognised by the content.
"""

from __future__ import annotations

from hwnas_surrogate.data.tool_files.reading import read_tool_files
from hwnas_surrogate.data.tool_files.recognising import TOOL_FILES, is_tool_file
from hwnas_surrogate.data.tool_files.result import Operator, ToolResult

__all__ = ["TOOL_FILES", "Operator", "ToolResult", "is_tool_file", "read_tool_files"]
