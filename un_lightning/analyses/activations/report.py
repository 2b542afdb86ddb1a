"""What the activations analysis found: tables, figures, scalars and the lines that end a run."""

from collections.abc import Mapping

import pandas as pd
from torch import Tensor

from un_lightning.analyses.activations.example_values import ExampleValues
from un_lightning.analyses.activations.examples import example_table, text_table
from un_lightning.analyses.activations.statistics import ActivationStatistics
from un_lightning.analyses.activations.tables import (
    histogram_table,
    neuron_table,
    position_table,
    subset_table,
    token_table,
)
from un_lightning.analyses.selection import Selection
from un_lightning.config import ActivationsConfig
from un_lightning.data.datamodule import TokenBlocks
from un_lightning.figures import activations as figures
from un_lightning.results.results import Results


def activation_results(
    config: ActivationsConfig,
    selection: Selection,
    sums: ActivationStatistics,
    known: Mapping[str, Tensor],
    data: TokenBlocks,
    subsets: list[str],
    values: ExampleValues | None = None,
) -> Results:
    """Everything that is known about the neurons once the pass is over.

    Args:
        config: Settings of the analysis.
        selection: The neurons.
        sums: The merged statistics of all ranks.
        known: Shifts, and ids of the tokens that were met.
        data: The text.
        subsets: Its subsets.
        values: Activations around examples, where they were read.
    """
    neurons = neuron_table(config, selection, sums, known)
    results = Results(scalars=_scalars(neurons, sums) | {"model": selection.model})
    results.tables = {
        "neurons": neurons,
        "examples": example_table(config, selection, sums, data, values),
        "positions": position_table(config, neurons, sums),
        "histograms": histogram_table(selection, sums),
    }
    results.tables["texts"] = text_table(results.tables["examples"], data)
    if config.subsets:
        results.tables["subsets"] = subset_table(config, selection, sums, known, subsets)
    if sums.tokens is not None:
        results.tables["tokens"] = token_table(selection, sums, known, data)
    results.figures = {
        "statistics_by_layer": figures.statistics_by_layer(neurons),
        "neuron_histograms": figures.neuron_histograms(neurons, results.tables["histograms"]),
        "position_profiles": figures.position_profiles(neurons, results.tables["positions"]),
    }
    results.headline = _headline(results.scalars, selection.model)
    return results


def _scalars(neurons: pd.DataFrame, sums: ActivationStatistics) -> dict:
    counted = int(sums.positions.count.sum())
    filled = int((sums.positions.count > 0).sum())
    scalars = {
        "neurons/count": len(neurons),
        "neurons/invalid": int((~neurons["valid"]).sum()),
        "neurons/dead": int((neurons["sparsity"] == 0).sum()),
        "counted_tokens": counted,
        "eta2_position/chance": (filled - 1) / max(counted - 1, 1),
    }
    for column in ("mean", "var", "skew", "kurt", "sparsity"):
        scalars[f"{column}/median"] = float(neurons[column].median())
    scalars["sparsity/mean"] = float(neurons["sparsity"].mean())
    scalars["eta2_position/mean"] = float(neurons["eta2_position"].mean())
    if sums.tokens is not None:
        met = int((sums.tokens.tensors["count"] > 0).sum())
        scalars["tokens_met"] = met
        scalars["eta2_token/mean"] = float(neurons["eta2_token"].mean())
        scalars["eta2_token/chance"] = (met - 1) / max(counted - 1, 1)
    if sums.published is not None:
        difference = neurons["sparsity_paper"] - neurons["sparsity"]
        scalars["sparsity/paper_minus_exact"] = float(difference.mean())
    return scalars


def _headline(scalars: dict, model: str) -> list[tuple[str, str]]:
    lines = [
        (f"Neurons of '{model}'", f"{scalars['neurons/count']:,}; {scalars['neurons/dead']:,} never fire"),
        (
            "Median skew, kurtosis, activation frequency",
            f"{scalars['skew/median']:.2f}, {scalars['kurt/median']:.2f}, {scalars['sparsity/median']:.3f}",
        ),
    ]
    for group in ("token", "position"):
        if f"eta2_{group}/mean" in scalars:
            share, chance = scalars[f"eta2_{group}/mean"], scalars[f"eta2_{group}/chance"]
            lines.append(
                (f"Variance explained by {group}, mean", f"{100 * share:.1f} % (chance {100 * chance:.1f} %)")
            )
    invalid = scalars["neurons/invalid"]
    counted = f"{scalars['counted_tokens']:,}" + (f"; {invalid} invalid neurons" if invalid else "")
    return [*lines, ("Tokens counted", counted)]
