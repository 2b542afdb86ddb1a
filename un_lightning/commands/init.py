"""The verb `init`: configs of a family of one's own, to start from."""

import argparse
import re
from pathlib import Path

from un_lightning.compose import configs_folder
from un_lightning.errors import UserError
from un_lightning.files import atomic_write, make_folder
from un_lightning.terminal import fail, say


_MODELS, _EXPERIMENT = "un_tiny", "tiny/universality"


def main(argv: list[str]) -> int:
    """Write the files that the arguments ask for; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="un-lightning init",
        description="Copy the configs of the tiny family under a name of your own: its models, and an "
        "experiment that finds their universal neurons. Nothing that exists is replaced.",
    )
    parser.add_argument("family", help="name of your family, such as my_family")
    parser.add_argument("--config-dir", type=Path, default=Path("my_configs"), help="where the files go")
    arguments = parser.parse_args(argv)
    try:
        written = _write(arguments.family, arguments.config_dir)
    except UserError as error:
        fail(str(error))
        return 2
    name, folder = arguments.family, arguments.config_dir
    say("\n".join(f"wrote {path}" for path in written))
    say(
        f"name your models in the first, then: un-lightning run --config-dir {folder} "
        f"experiment={name}/universality"
    )
    return 0


def _write(name: str, folder: Path) -> list[Path]:
    """Write models and experiment.

    Raises:
        UserError: The name is none that a config can have, or a file exists or cannot be written.
    """
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_-]*", name):
        raise UserError(f"'{name}' cannot be the name of a family: use letters, digits, _ and -")
    shipped = configs_folder()
    if (shipped / "models" / f"{name}.yaml").exists():
        raise UserError(f"a family '{name}' is shipped already: choose another name")
    models = (shipped / "models" / f"{_MODELS}.yaml").read_text(encoding="utf-8")
    first = models.index("defaults:")  # what is said above is true of the tiny family alone
    models = f"# Your models: hub ids or folders that share a tokenizer.\n{models[first:]}"
    experiment = (shipped / "experiment" / f"{_EXPERIMENT}.yaml").read_text(encoding="utf-8")
    experiment = experiment.replace(_EXPERIMENT, f"{name}/universality").replace(_MODELS, name)
    experiment = experiment.replace("python experiments/run.py ", f"un-lightning run --config-dir {folder} ")
    texts = {
        folder / "models" / f"{name}.yaml": re.sub(r"(?m)^family: .*$", f"family: {name}", models),
        folder / "experiment" / name / "universality.yaml": experiment,
    }
    for path in texts:
        if path.exists():
            raise UserError(f"{path} exists already: it stays as it is; choose another name or --config-dir")
    for path, text in texts.items():
        make_folder(path.parent)
        atomic_write(path, text)
    return [*texts]
