"""What a trial's numbers are computed on."""

from __future__ import annotations

import torch

from fasray.training.trial import Trial


def computed_on(trial: Trial, device: torch.device) -> dict[str, str]:
    """Return ``device`` (the card's name, or ``cpu``), ``precision`` of training steps, and torch's version."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return {"device": name, "precision": trial.training.precision, "torch": torch.__version__}
