"""What an export may be asked for, by name: the command line reads it, and imports nothing heavy for that."""

from typing import Literal

Goal = Literal["latency", "throughput", "size", "balanced"]
"""What int8 is for; `edge_export.int8.selection.GOALS` says how each is measured."""

Target = Literal["any", "vnni", "arm64"]
"""The processors that int8 is for; `edge_export.int8.processors.PROFILES` says how each rounds."""

Engine = Literal["onnxruntime", "c"]
"""What computes in a target that leaves a choice; `edge_export.targets.registry.TARGETS` says which do."""
