"""W&B's workspace of some runs: the panels that matter for each of their analyses.

It is built and checked without a server, and saved where somebody is logged in.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow.parquet as parquet

from un_lightning.errors import UserError
from un_lightning.report.compare import config_keys, scalar_names
from un_lightning.report.finished import Run
from un_lightning.terminal import say
from un_lightning.tracking.record import table_key


MATTERS: dict[str, tuple[str, ...]] = {
    "ablation": ("loss/universal", "kl/universal", "entropy/universal", "untouched/loss"),
    "activations": ("sparsity/mean", "kurt/median", "skew/median", "eta2_token/mean", "neurons/dead"),
    "attention": ("bos_attention/mean", "heads/count", "neurons/count"),
    "correlation": ("universal/count", "universal/percent", "excess/mean", "max_corr/mean", "baseline/mean"),
    "entropy": ("candidates/total_effect", "baseline/total_effect", "candidates/norm_mediated"),
    "families": tuple(
        f"families/{family}/percent"
        for family in ("unexplained", "unigram", "alphabet", "position", "syntax", "topic")
    ),
    "neuron_table": ("universal/count", "universal/percent", "neurons/count"),
    "prediction": ("prediction/count", "suppression/count", "partition/count", "prediction/percent"),
    "properties": ("auc/kurt", "auc/skew", "auc/sparsity", "auc/w_in_norm", "auc/l2_penalty"),
    "weights": ("in_out_sim/mean", "l2_penalty/mean", "vocab_kurt/mean", "vocab_var/mean"),
}
"""Scalars that a section begins with, by analysis. Those that no run has are left out; an analysis
without any of them shows its first ones."""
_TECHNICAL = ("seconds", "tokens", "world_size", "confidence", "groups", "counted_tokens", "layers")
_MOST_BARS = 6
_MOST_SCATTERS = 4


def workspace(runs: Sequence[Run], name: str) -> Any:
    """Lay out the workspace of some runs.

    Args:
        runs: Finished runs; what they have recorded decides which panels there are.
        name: How the workspace is called.

    Returns:
        A `wandb_workspaces.workspaces.Workspace` with a section for what differs and one an analysis.

    Raises:
        UserError: wandb-workspaces is not installed, or the runs are of several W&B projects.
    """
    try:
        from wandb_workspaces import workspaces as ws
        from wandb_workspaces.expr import And
        from wandb_workspaces.reports import v2 as wr
    except ImportError as error:
        raise UserError("this needs wandb-workspaces: pip install 'un-lightning[workspace]'") from error
    projects = {(str(run.config.get("logger.project", "")), run.config.get("logger.entity")) for run in runs}
    if len(projects) > 1:
        raise UserError(f"the runs are of several W&B projects: {', '.join(sorted(p for p, _ in projects))}")
    project, entity = projects.pop()
    kinds = list(dict.fromkeys(run.analysis for run in runs))
    sections = [_differences(ws, wr, runs)]
    sections += [
        ws.Section(
            name=kind,
            panels=[*_panels(wr, [run for run in runs if run.analysis == kind])],
            is_open=place == 0,
            layout_settings=ws.SectionLayoutSettings(columns=2, rows=3),
        )
        for place, kind in enumerate(kinds)
    ]
    return ws.Workspace(
        entity=entity or "",
        project=project or "un-lightning",
        name=name,
        sections=sections,
        settings=ws.WorkspaceSettings(x_axis="tokens"),
        runset_settings=ws.RunsetSettings(
            filters=And(ws.Metric("Group").isin(sorted({_group(run) for run in runs}))),
            order=[ws.Ordering(ws.Metric("CreatedTimestamp"), ascending=False)],
        ),
    )


def report_workspace(runs: Sequence[Run], title: str | None, save: bool) -> None:
    """Build the workspace, say what is in it, and save it if asked to.

    Raises:
        UserError: As `workspace` does; nobody is logged in; or W&B refuses it.
    """
    built = workspace(runs, title or "un-lightning")
    for section in built.sections:
        say(f"{section.name}: {len(section.panels)} panels")
    if not save:
        say("built and checked; --save puts it on W&B")
        return
    import wandb
    from wandb.errors import Error

    try:
        if not built.entity:
            built.entity = wandb.Api().default_entity
        built.save()
    except (Error, ValueError, AttributeError, TypeError) as error:
        raise UserError(f"W&B does not take the workspace: {error} (log in with: wandb login)") from error
    say(f"saved: {built.url}")


def _group(run: Run) -> str:
    """W&B's group of a run: its experiment, or its sweep."""
    above = run.folder.resolve().parent
    return above.name if above.parent.name == "sweeps" else str(run.config.get("name", ""))


def _differences(ws: Any, wr: Any, runs: Sequence[Run]) -> Any:
    """What distinguishes the runs, and the main number over each key that was varied."""
    differing, _, _ = config_keys(runs)
    varied = [key for key in differing if any(isinstance(run.config.get(key), int | float) for run in runs)]
    panels = [wr.RunComparer(diff_only="split")]
    main = next(iter(_scalars(runs)), None)
    if main is not None:
        panels += [
            wr.ScatterPlot(title=f"{main} over {key}", x=wr.Config(key), y=wr.SummaryMetric(main))
            for key in varied[:_MOST_SCATTERS]
        ]
    return ws.Section(name="differences", panels=panels, is_open=True)


def _panels(wr: Any, runs: Sequence[Run]) -> Iterator[Any]:
    """Bars of the numbers that matter, then the figures, then the neuron table."""
    for scalar in _scalars(runs)[:_MOST_BARS]:
        yield wr.BarPlot(title=scalar, metrics=[wr.SummaryMetric(scalar)], orientation="v")
    for figure in dict.fromkeys(name for run in runs for name in run.figures()):
        yield wr.MediaBrowser(title=figure, media_keys=[f"figures/{figure}"])
    keys = (
        table_key("neurons", parquet.read_metadata(run.tables()["neurons"]).num_rows)
        for run in runs
        if "neurons" in run.tables()
    )
    for key in dict.fromkeys(keys):
        yield wr.WeavePanelSummaryTable(table_name=key)


def _scalars(runs: Sequence[Run]) -> list[str]:
    """Numbers of the runs that matter, those of their analyses first."""
    numbers = [
        name
        for name in scalar_names(runs)
        if any(isinstance(run.summary.get(name), int | float) for run in runs)
    ]
    wanted = [name for run in runs for name in MATTERS.get(run.analysis, ()) if name in numbers]
    return list(dict.fromkeys(wanted or (name for name in numbers if "/" in name and name not in _TECHNICAL)))
