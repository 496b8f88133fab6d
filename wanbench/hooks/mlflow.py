"""MLflow: one of its runs a candidate, with parameters, scores as metrics and sample videos as artifacts.

The store is MLflow's own choice: `MLFLOW_TRACKING_URI` names a server, or a folder if `MLFLOW_ALLOW_FILE_STORE=true`.
"""

from __future__ import annotations

import os
import time
from typing import Any

from wanbench.errors import MissingDependency, UsageError
from wanbench.hooks.entry import Entry

EXPERIMENT = "wanbench"
ID, DIGEST = "wanbench.id", "wanbench.digest"
"""Tags by which an entry is found again, and by which one sees whether it has something new to say."""
SUPERSEDED = "wanbench.superseded_by"
"""Tag of a run that could not be brought up to date, and whose place another one took."""
PARAMETERS_AT_ONCE = 100
"""A batch may hold no more."""
QUICK = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
"""Set where the user has not: MLflow's seven retries of two minutes each would hold a finished run up for long."""


class _MLflow:
    def __init__(self, target: str, offline: bool) -> None:
        for variable, value in QUICK.items():
            os.environ.setdefault(variable, value)
        try:
            import mlflow
        except ImportError as error:
            raise MissingDependency("--log-to mlflow", "mlflow") from error

        self.name = f"mlflow:{target}" if target else "mlflow"
        self._mlflow: Any = mlflow
        where = mlflow.get_tracking_uri()
        if offline and where.startswith(("http:", "https:", "databricks")):
            raise UsageError(f"--log-to {self.name}: {where} is on the network, which --offline forbids")
        try:
            self._client: Any = mlflow.MlflowClient()
            self._experiment = self._experiment_id(target or EXPERIMENT)
        except Exception as error:  # its stores raise what their libraries raise
            told = " ".join(str(error).split())
            hint = "set MLFLOW_TRACKING_URI to a server, or to a folder together with MLFLOW_ALLOW_FILE_STORE=true"
            raise UsageError(f"--log-to {self.name}: the store {where} cannot be used ({told}); {hint}") from error

    def _experiment_id(self, name: str) -> str:
        """Of the experiment, which is made if it is not there."""
        found = self._client.get_experiment_by_name(name)
        if found is None:
            return str(self._client.create_experiment(name))
        if found.lifecycle_stage != "active":
            raise ValueError(f"the experiment {name} has been deleted")
        return str(found.experiment_id)

    def log(self, entry: Entry) -> None:
        entities, client = self._mlflow.entities, self._client
        found = client.search_runs([self._experiment], f"tags.`{ID}` = '{entry.id}'")
        before = next((run for run in found if SUPERSEDED not in run.data.tags), None)
        if before and before.data.tags.get(DIGEST) == entry.digest:
            return
        tags = {ID: entry.id, "wanbench.plan": entry.plan, **{f"wanbench.{key}": value for key, value in entry.notes.items()}}
        run = before if before and _can_become(before.data, entry) else None
        run = run or client.create_run(self._experiment, run_name=entry.candidate)
        name, now = run.info.run_id, int(1000 * time.time())
        client.log_batch(
            name,
            metrics=[entities.Metric(key, value, now, 0) for key, value in entry.scores.items()],
            tags=[entities.RunTag(key, value) for key, value in tags.items()],
        )
        params = [entities.Param(key, str(value)) for key, value in entry.config.items()]
        for first in range(0, len(params), PARAMETERS_AT_ONCE):
            client.log_batch(name, params=params[first : first + PARAMETERS_AT_ONCE])
        for sample in entry.samples:
            client.log_artifact(name, str(sample.path), f"samples/{sample.name}")
        client.set_tag(name, DIGEST, entry.digest)  # last: a run that was logged by half is logged again
        client.set_terminated(name)
        if before and before is not run:
            client.set_tag(before.info.run_id, SUPERSEDED, name)
            client.update_run(before.info.run_id, name=f"{entry.candidate} (superseded)")


def _can_become(logged: Any, entry: Entry) -> bool:
    """Whether what is logged can be brought up to date: MLflow deletes no metric and changes no parameter."""
    same = all(logged.params.get(key, str(value)) == str(value) for key, value in entry.config.items())
    return same and logged.metrics.keys() <= entry.scores.keys()


def opened(target: str, offline: bool) -> _MLflow:
    """`EXPERIMENT`; empty: `wanbench`. Raises `UsageError`, `MissingDependency`."""
    return _MLflow(target, offline)
