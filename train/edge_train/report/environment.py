"""Where a run was trained: what a reader needs to judge its times and to repeat it."""

import platform
from datetime import UTC, datetime
from importlib import metadata
from typing import Any

import numpy as np
import torch

import edge
from edge.session import cpu


def here(device: torch.device) -> dict[str, Any]:
    """This machine and this process, and the time of the day in UTC: a run calls it when training ends.

    Args:
        device: what the network was trained on.
    """
    return {
        "finished": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "cpu": cpu.model(),
        "allowed_cpus": cpu.allowed(),
        "threads": torch.get_num_threads(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "edge": edge.__version__,
        "torch": torch.__version__,
        "torchvision": metadata.version("torchvision"),
        "numpy": np.__version__,
    }
