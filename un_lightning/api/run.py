"""A run from Python, as the command line would carry it out."""

import shlex
from os import PathLike
from typing import Any

from un_lightning.api.finished import Run, open_run
from un_lightning.api.unchanged import hydra_unchanged, process_unchanged, torch_unchanged
from un_lightning.api.words import words
from un_lightning.compose import composer
from un_lightning.errors import UserError


def run(
    experiment: str | None = None,
    *overrides: str,
    config_dir: str | PathLike[str] | None = None,
    **settings: Any,
) -> Run:
    """Carry out an experiment, as `un-lightning run experiment=<name> key=value …` does.

    ```
    ul.run("tiny/universality", seed=1, trainer="cpu", data={"tokens": 20_000})
    ul.run("tiny/universality", "seed=1", "trainer=cpu", "data.tokens=20_000")   # the same
    ```

    What belongs to the process is left as it was: arguments, environment, signal handlers, loggers, random
    numbers, torch's threads, and Hydra's state.

    Args:
        experiment: Name of an experiment in `configs/experiment/`.
        *overrides: Words as the command line takes them.
        config_dir: A folder of one's own YAML files.
        **settings: Config keys. A text chooses a group's option (`models="un_tiny"`), a mapping sets the keys
            below (`data={"tokens": 20_000}`), any other value is the key's own (`seed=1`). They come after
            `overrides`.

    Returns:
        The finished run.

    Raises:
        UserError: What the command line would say, in the same words; or the run needs several processes.
        KeyboardInterrupt: Somebody stopped it; what it had is saved, and `resume="auto"` goes on from there.
    """
    own = [f"experiment={experiment}"] if experiment else []
    argv = [*own, *overrides, *words(settings, config_dir)]
    command = ["un-lightning", "run", *argv]
    with hydra_unchanged(), composer() as compose:
        config, plain = compose(argv)
    processes = config.trainer.devices * config.trainer.nodes
    if processes > 1:
        raise UserError(
            f"this run is {processes} processes, which Python code that is running already cannot become: "
            f"start it from a shell, {shlex.join(command)}, and open it with open_run"
        )
    with process_unchanged(command), torch_unchanged():
        from un_lightning.running import launch, record

        with record.concluded() as folders:
            try:
                launch.run(config, plain)
            except SystemExit as stop:
                raise KeyboardInterrupt("stopped; go on with resume='auto'") from stop
    return open_run(folders[-1])
