"""Correlations of tokens that are in hand, without a run folder: the same engine and the same numbers."""

from collections.abc import Iterable
from functools import partial
from typing import Any

from jaxtyping import Int
from torch import Tensor

from un_lightning.analyses import make_analysis
from un_lightning.api.family import Family
from un_lightning.api.findings import Findings, Named, Picture
from un_lightning.api.unchanged import hydra_unchanged, process_unchanged, torch_unchanged
from un_lightning.api.words import words
from un_lightning.compose import composer
from un_lightning.data.in_hand import HeldBlocks
from un_lightning.lightning import make_trainer
from un_lightning.lightning import seed as seed_everything
from un_lightning.models.family import Family as Models
from un_lightning.results.results import plain
from un_lightning.running.alone import ignore_stray_ranks


def correlate(
    family: Models,
    tokens: Int[Tensor, "block position"] | Iterable[str],
    *,
    batch_size: int = 32,
    exclude: str = "paper",
    seed: int = 0,
    accelerator: str = "auto",
    **settings: Any,
) -> Findings:
    """Correlate every pair of units of a family's models over some tokens (paper sections 3 and 4).

    Args:
        family: What `load_family` returned.
        tokens: Blocks of token ids, read in this order, or texts, which `family.blocks` cuts.
        batch_size: Blocks a batch; intervals need at least three batches.
        exclude: Tokens that are not counted: `paper` (BOS, EOS, padding, the single newline), `special` or
            `none`.
        seed: Seed of the baseline's random matrices.
        accelerator: `auto`, `cpu`, `gpu` or `mps`.
        **settings: Keys of the correlation analysis (docs/correlation.md), such as `site="mlp_out"`,
            `pairs="all"`, `threshold=0.5` or `jackknife=0`.

    Returns:
        What a run of `analysis=correlation` over the same blocks finds: `.summary`, `.figures`, and `.tables`
        with `neurons` (one row a unit of every model; correlations in [-1, 1] and their excess over the
        baseline), `matches`, `summaries` and `layer_match` (docs/architecture.md). Nothing is written.

    Raises:
        UserError: What the command line would say, in the same words; or the tokens are none of the models'.
    """
    own = family if isinstance(family, Family) else Family(**vars(family))
    ids = own.as_tokens(tokens) if isinstance(tokens, Tensor) else own.blocks(tokens)
    data = {"tokens": ids.numel(), "context": ids.shape[1], "batch_size": batch_size, "exclude": exclude}
    keys = {"data": data, "seed": seed, "trainer": {"accelerator": accelerator}, "analysis": settings}
    own_words = words({key: value for key, value in keys.items() if value != {}})
    with hydra_unchanged(), composer() as compose:
        config, _ = compose(["name=python", "analysis=correlation", *own_words])
    stream = HeldBlocks(config.data, own._tokenizer(), ids.cpu().numpy())
    with process_unchanged(["un-lightning"]), torch_unchanged():
        ignore_stray_ranks(config.trainer)
        seed_everything(config.seed)
        analysis = make_analysis(config.analysis, own, config.seed)
        trainer = make_trainer(config.trainer, None, None)
        while not analysis.complete:
            trainer.validate(analysis, datamodule=stream, verbose=False)
    results = analysis.results
    assert results is not None
    summary = plain(results.scalars | stream.facts())
    summary |= {"analysis": config.analysis.kind, "family": own.name, "models": list(own.models)}
    summary |= {"reference": own.reference, "site": str(config.analysis.site)}
    tables = {name: partial(lambda table: table, table) for name, table in results.tables.items()}
    figures = {name: partial(Picture, figure) for name, figure in results.figures.items()}
    title = f"correlation of {own.name}, {stream.tokens:,} tokens"
    return Findings(title, dict(sorted(summary.items())), Named("table", tables), Named("figure", figures))
