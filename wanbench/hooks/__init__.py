"""Where a finished run is logged to besides its own folder: Weights & Biases, MLflow, TensorBoard."""

from __future__ import annotations

KNOWN = {"wandb": "PROJECT", "mlflow": "EXPERIMENT", "tensorboard": "FOLDER"}
"""Module of this package that has an `opened(target, offline)` -> what may stand behind the colon."""
