"""`--help` of the verbs that take a config: its groups, and the keys that the chosen ones have."""

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from un_lightning.commands.keys import of_chosen
from un_lightning.compose import config_folders, configs_folder
from un_lightning.config import Config, register_schemas, registry
from un_lightning.errors import UserError
from un_lightning.mistakes import explain
from un_lightning.terminal import fail, say


GROUPS = ("models", "data", "analysis", "training", "trainer", "logger")


def show_help(verb: str, purpose: str, words: list[str]) -> None:
    """Print how a verb is used, and what the keys of the config mean that the words compose.

    Args:
        verb: The verb.
        purpose: What it is for.
        words: Overrides beside the flag, such as `experiment=tiny/universality`.
    """
    usage = f"usage: un-lightning {verb} experiment=<name> [group=option] [key=value] …"
    lines = [usage, "", purpose, "", "groups:"]
    for group in GROUPS:
        files = {path.stem for folder in config_folders() for path in (folder / group).glob("*.yaml")}
        options = sorted(files | {*registry.kinds()} if group == "analysis" else files)
        lines.append(f"  {group}: {', '.join(options) or 'none'}")
    lines += ["", "un-lightning list shows the experiments; flags: --config-dir DIR, --multirun, --cfg job"]
    say("\n".join(lines))
    register_schemas()
    GlobalHydra.instance().clear()
    own = [word for word in words if not word.startswith("-") and "=" in word]
    try:
        with initialize_config_dir(version_base="1.3", config_dir=str(configs_folder())):
            config = compose("config", overrides=own)
    except (HydraException, OmegaConfBaseException, YAMLError, ValueError, UserError) as error:
        fail(explain(error, config_folders()) if not isinstance(error, UserError) else str(error))
        return
    chosen = [("", Config)]
    chosen += [
        (f"{group}.", OmegaConf.get_type(config, group))
        for group in GROUPS
        if not OmegaConf.is_missing(config, group) and config.get(group) is not None
    ]
    for front, schema in chosen:
        if isinstance(schema, type) and schema is not dict:
            values = OmegaConf.to_container(config[front.rstrip(".")] if front else config)
            assert isinstance(values, dict)
            shown = of_chosen(front, schema, {str(key): value for key, value in values.items()})
            say("\n".join(["", f"{front.rstrip('.') or 'run'}:", *shown]))
