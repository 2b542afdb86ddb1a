"""W&B's artifacts of a run: what it made, and which earlier run's tables or models it read.

Tables and summary of a run are the artifact `results-<run id>`, a model or tokenizer that it trained
`model-<run id>` or `tokenizer-<run id>`. A run that reads a folder of another run uses that run's artifact,
so W&B draws the way from one to the next. Offline there is no server to ask for artifacts, and the paths in
the run's summary say the same.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from un_lightning.results.runs import SUMMARY
from un_lightning.terminal import warn


if TYPE_CHECKING:
    import wandb

RUN_ID = "wandb_id.txt"
"""File of a run folder that holds its W&B id."""
TRAINED = ("model", "tokenizer")
"""Folders that training leaves in a run folder, and the types of their artifacts."""
_ABOVE = 2
"""Folders between a file of a run and its run folder, as in `<run>/tables/neurons.parquet`."""


@dataclass(frozen=True)
class Source:
    """Another run that a run has read."""

    folder: Path
    run_id: str
    artifact: str


def sources(values: Any, own: Path) -> list[Source]:
    """Find the runs whose folders or files some values name.

    Args:
        values: A config or scalars; every text at any depth may be a path.
        own: The run folder that they are of, which is no source.
    """
    found: dict[str, Source] = {}
    for text in _texts(values):
        source = _source(text)
        if source is not None and source.folder != own.resolve():
            found.setdefault(source.artifact, source)
    return list(found.values())


def use(run: "wandb.Run", read: Iterable[Source]) -> None:
    """Note in a run which runs it has read; online, as its input artifacts.

    An artifact that the server does not have, because that run was recorded offline and never uploaded, is a
    warning.
    """
    import wandb

    read = list(read)
    if not read:
        return
    project = None if run.offline else run.project_url
    run.summary["uses"] = [
        f"{project}/runs/{source.run_id}" if project else str(source.folder) for source in read
    ]
    for source in () if run.offline else read:
        try:
            run.use_artifact(f"{source.artifact}:latest")
        except (wandb.Error, ValueError) as error:
            warn(f"W&B: the run in {source.folder} is not on the server, so no line leads to it ({error})")


def log_artifacts(run: "wandb.Run", run_dir: Path, tables: Iterable[Path]) -> None:
    """Hand a run's files to W&B: tables and summary, and what it trained.

    Args:
        run: The run.
        run_dir: Its folder, with the whole path.
        tables: Files of its tables.
    """
    import wandb

    results = wandb.Artifact(f"results-{run.id}", type="results")
    results.add_file(str(run_dir / SUMMARY), policy="immutable", skip_cache=True)
    for path in tables:
        results.add_file(str(path), name=f"tables/{path.name}", policy="immutable", skip_cache=True)
    run.log_artifact(results)
    for kind in TRAINED:
        if (run_dir / kind).is_dir():
            artifact = wandb.Artifact(f"{kind}-{run.id}", type=kind)
            artifact.add_dir(str(run_dir / kind), policy="immutable", skip_cache=True)
            run.log_artifact(artifact)


def _source(text: str) -> Source | None:
    if not text or len(text) > 4096 or "\n" in text or "\0" in text:
        return None
    path = Path(text).expanduser()
    try:
        if not path.exists():
            return None
        path = path.resolve()
        for folder in (path, *path.parents[:_ABOVE]):
            if (folder / RUN_ID).is_file():
                run_id = (folder / RUN_ID).read_text(encoding="utf-8").strip()
                inside = path.relative_to(folder).parts
                kind = inside[0] if inside and inside[0] in TRAINED else "results"
                return Source(folder, run_id, f"{kind}-{run_id}")
    except (OSError, ValueError):
        return None
    return None


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)


@contextmanager
def staging_in(run_dir: Path) -> Iterator[None]:
    """Let W&B keep the copies that it uploads later in the run folder, not in the home folder."""
    before = os.environ.get("WANDB_DATA_DIR")
    if before is None:
        os.environ["WANDB_DATA_DIR"] = str(run_dir / "wandb")
    try:
        yield
    finally:
        if before is None:
            del os.environ["WANDB_DATA_DIR"]
