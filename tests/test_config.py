"""Every shipped config composes, is valid and can be instantiated; every limit names its key."""

import dataclasses
import functools
import re
import shlex

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from un_lightning.analyses import make_analysis
from un_lightning.cli import VERBS
from un_lightning.compose import check, configs_folder
from un_lightning.config import (
    SCHEMAS,
    AnalysisConfig,
    Config,
    MemberConfig,
    ModelsConfig,
    ModelSource,
    register_schemas,
)
from un_lightning.config.declarations import OURS, Way
from un_lightning.config.registry import runner, schema
from un_lightning.errors import UserError
from un_lightning.mistakes import experiments
from un_lightning.models.family import Family, load_family


EXPERIMENTS = experiments([configs_folder()])
OPTIONS = sorted(
    [("analysis", kind) for kind in OURS]
    + [
        (folder.name, path.stem)
        for folder in configs_folder().iterdir()
        if folder.is_dir() and folder.name != "experiment"
        for path in folder.glob("*.yaml")
    ]
)
ALL_SCHEMAS = [node for group in SCHEMAS.values() for node in group.values()] + [*map(schema, OURS)]
REQUIRED = {
    "files": ["data.path=somewhere"],
    "pile_files": ["data.path=somewhere"],
    "emergence": ["analysis.checkpoints=[1,2]"],
    "store": ["data.path=somewhere"],
    "published": ["analysis.tables=somewhere"],
    "properties": ["analysis.tables=somewhere"],
}
"""What only the user can know."""
GPT2 = {
    "model_type": "gpt2", "n_layer": 24, "n_embd": 16, "n_head": 16, "n_positions": 1024, "vocab_size": 4096,
    "n_inner": 4096,
}  # fmt: skip
"""As deep as the deepest family and with as many neurons, so that all that experiments name are there."""


@pytest.fixture(scope="module")
def composed():
    """Compose and check a command line, as the program does it."""
    register_schemas()

    @functools.cache
    @functools.cache
    def build(*overrides: str) -> Config:
        with initialize_config_dir(str(configs_folder()), version_base="1.3"):
            return check(compose("config", [*overrides]))

    return build


def command(experiment: str) -> tuple[str, list[str]]:
    """The verb and the overrides of the command that an experiment's file begins with."""
    text = (configs_folder() / "experiment" / f"{experiment}.yaml").read_text()
    found = re.match(r"# @package _global_\n# python experiments/(\w+)\.py (.+)\n", text)
    assert found, f"{experiment} does not begin with its command"
    return found[1], shlex.split(re.sub(r"<[^>]*>", "somewhere", found[2]))


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_an_experiment_is_what_its_first_line_runs(composed, experiment):
    verb, overrides = command(experiment)
    assert overrides[0] == f"experiment={experiment}"
    config = composed(*overrides)
    assert config.name == experiment
    assert verb in VERBS
    assert (verb == "train") == (config.training is not None)
    assert (verb == "run") == (config.analysis is not None)


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_any_experiment_can_be_tried_on_a_few_tokens(composed, experiment):
    config = composed(*command(experiment)[1], "debug=quick")
    assert config.data.tokens <= 10_000


@pytest.mark.parametrize(("group", "option"), OPTIONS)
def test_every_option_of_every_group_is_valid(composed, group, option):
    config = composed("name=any", f"{group}={option}", *REQUIRED.get(option, []))
    if group == "analysis":
        assert type(config.analysis) is schema(option)
        assert config.analysis.kind == option
    elif group in SCHEMAS:
        assert isinstance(getattr(config, group), tuple(SCHEMAS[group].values()))


@functools.cache
def random_family(*names: str) -> Family:
    members = [MemberConfig(name=name, seed=seed) for seed, name in enumerate(names)]
    return load_family(
        ModelsConfig(
            "any", ModelSource.random, members, names[0], GPT2, tokenizer="bundled:un_tiny/tokenizer"
        )
    )


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_analysis_can_be_made(composed, experiment):
    """With models of random weights in the place of the real ones."""
    config = composed(*command(experiment)[1])
    analysis = config.analysis
    if analysis is None:
        assert config.training.kind in ("language_model", "tokenizer")
    elif runner(analysis).way is Way.report:
        with pytest.raises(UserError, match=r"somewhere|runs/"):
            runner(analysis).load()(analysis, config.seed)
    else:
        family = random_family(*[member.name for member in config.models.members])
        assert list(family.models) == [member.name for member in config.models.members]
        # A study of several runs is made of these; each is an experiment, too.
        parts = [analysis]
        if runner(analysis).way is Way.study:
            parts = [part for part in vars(analysis).values() if isinstance(part, AnalysisConfig)]
        for part in (part for part in parts if runner(part).way is Way.stream):
            if getattr(part, "tables", None):  # of a run that is not there
                with pytest.raises(UserError, match=r"runs/\w+/neuron_table"):
                    make_analysis(part, family, config.seed)
                continue
            made = make_analysis(part, family, config.seed)
            assert made.settings is part
            made.stream(config.data)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["data.tokens=0"], "data.tokens is 0, but must be at least 1"),
        (["data.context=1"], "data.context is 1, but must be at least 2"),
        (["data.batch_size=0"], "data.batch_size is 0, but must be at least 1"),
        (["data.workers=-1"], "data.workers is -1, but must be at least 0"),
        (["data.seed=-1"], "data.seed is -1, but must be at least 0"),
        (["data=files"], "data.source=files needs data.path"),
        (["data=store"], "data.source=store needs data.path"),
        (["seed=-1"], "seed is -1, but must be at least 0"),
        (["seed=4294967296"], r"seed is 4294967296, but must be at least 0 and below 2\^32"),
        (["resume=''"], "resume is empty: set it to never, auto or the folder of a run"),
        (["trainer.accelerator=tpu"], "trainer.accelerator is 'tpu', allowed are auto, cpu, gpu, mps"),
        (["trainer.devices=0"], "trainer.devices is 0, but must be at least 1"),
        (["trainer.devices=2"], "several devices or nodes need trainer.strategy=ddp"),
        (["trainer.nodes=2"], "several devices or nodes need trainer.strategy=ddp"),
        (["trainer.threads=0"], "trainer.threads is 0, but must be at least 1"),
        (["trainer.save_minutes=-1"], "trainer.save_minutes is -1.0, but must be at least 0"),
        (["trainer.save_minutes=nan"], "trainer.save_minutes is nan, but must be at least 0"),
        (["analysis.draws=0"], "analysis.draws is 0, but must be at least 1"),
        (["analysis.threshold=3"], "analysis.threshold is 3.0, outside"),
        (["analysis.jackknife=2"], "analysis.jackknife is 2: .* at least 3, or 0 for no intervals"),
        (["analysis.kind=magic"], "analysis.kind is 'magic', allowed are ablation, activations, attention"),
        (["models.members=[]"], "models.members is empty"),
        (["models.members=[{name: a, path: x}, {name: a, path: y}]"], "models.members holds a name twice"),
        (["models.reference=z"], "models.reference is 'z', but the members are"),
        (["models.members.1.path=null"], "'b' has no path"),
        (["models.source=random"], "models.source=random needs models.architecture with model_type"),
        (["models.source=loader"], "models.source=loader needs models.loader"),
        (["models.source=loader", "models.loader=a.b"], "models.source=loader needs models.units"),
        (["name=a/b/c"], "name 'a/b/c' has 3 levels"),
        (["name=../up"], "is no name of an experiment"),
        (["data.tokens=???", "data.context=???"], "these keys have no value: data.context, data.tokens"),
        (["data.tokens=${nothing}"], "data.tokens: Interpolation key 'nothing' not found"),
        (["+data.tokns=5"], r"unknown key 'data.tokns' \(did you mean tokens\?\); the nearest are tokens, "),
        (["+nothing=5"], "unknown key 'nothing'; allowed are name, seed, run_dir"),
        (["+models.members.2.size=5"], r"unknown key 'models.members\[2\].size'; allowed are name, path"),
        (["~data"], "no data is chosen: add data=<name>"),
        (["~logger"], "no logger is chosen: add logger=<name>"),
    ],
)
def test_limits_name_the_key(composed, overrides, message):
    with pytest.raises(UserError, match=message):
        composed("experiment=tiny/universality", *overrides)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["training.width=130"], "training.width 130 is no multiple of heads 4"),
        (["training.steps=0"], "training.steps is 0, but must be at least 1"),
        (["training.learning_rate=0"], "training.learning_rate is 0.0, but must be above 0"),
        (["training.warmup=2"], r"training.warmup is 2.0, outside \[0, 1\]"),
        (["training.validation_tokens=0"], "training.validation_tokens is 0, but must be at least 1"),
        (["training=tokenizer", "training.vocabulary=10"], "training.vocabulary is 10, but must be at least"),
    ],
)
def test_limits_of_training_name_the_key(composed, overrides, message):
    experiment = "tiny/tokenizer" if "training=tokenizer" in overrides else "tiny/train"
    settings = [item for item in overrides if "." in item] + ["training.precision=32-true"] * (
        experiment == "tiny/train"
    )
    with pytest.raises(UserError, match=message):
        composed(f"experiment={experiment}", *settings)


def test_without_an_experiment_one_is_named(composed):
    with pytest.raises(
        UserError, match="no experiment was chosen: add experiment=<name>, such as tiny/universality"
    ):
        composed("trainer=cpu")


@pytest.mark.parametrize("node_type", ALL_SCHEMAS)
def test_the_defaults_of_every_schema_are_valid(node_type):
    node = OmegaConf.structured(node_type)  # every default has the type of its field
    if "tables" in node:
        node.tables = "somewhere"
    if not OmegaConf.missing_keys(node):
        assert isinstance(OmegaConf.to_object(node), node_type)
    for field in dataclasses.fields(node_type):
        if field.name == "kind":
            assert field.default is not dataclasses.MISSING, "an analysis knows its own name"
