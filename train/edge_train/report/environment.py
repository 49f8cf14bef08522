"""Where a run was trained: what a reader needs to judge its times and to repeat it."""

from datetime import UTC, datetime
from typing import Any

import torch

from edge.bench import machine


def here(device: torch.device) -> dict[str, Any]:
    """This machine and this process, and the time of the day in UTC: a run calls it when training ends.

    Args:
        device: what the network was trained on.
    """
    facts = machine.describe("torchvision")
    return {
        "finished": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "cpu": facts.cpu,
        "allowed_cpus": facts.allowed_cpus,
        "threads": torch.get_num_threads(),
        "platform": facts.system,
        "python": facts.python,
        "edge": facts.edge,
        "torch": torch.__version__,
        "torchvision": facts.distributions.get("torchvision"),
        "numpy": facts.numpy,
    }
