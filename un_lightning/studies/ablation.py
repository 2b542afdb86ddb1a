"""The ablation of universal neurons where nobody has said yet which those are: correlations first."""

import dataclasses
from typing import Any

from un_lightning.config import Config
from un_lightning.studies.neuron_table import part_config
from un_lightning.studies.study import RunPass, carry_out


def run_ablation(config: Config, plain: dict[str, Any], run: RunPass) -> None:
    """Find universal neurons, unless a finished run of the same config has, and ablate them.

    Args:
        config: The checked config, whose analysis names neither a table nor a set.
        plain: The same as plain values.
        run: Carries out one analysis of models, as `launch.run` does.

    Raises:
        UserError: As `run` does.
    """
    part = part_config(config, plain, "correlation")
    resume = config.resume if config.resume in ("never", "auto") else "auto"
    part = part._replace(config=dataclasses.replace(part.config, resume=resume))
    found = carry_out(config, part, "correlation", run)
    analysis = dataclasses.replace(config.analysis, tables=str(found))
    run(dataclasses.replace(config, analysis=analysis), plain)
