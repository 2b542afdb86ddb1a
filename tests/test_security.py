"""Nothing runs code from data, names stay in the run folder, and secrets stay out of records."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from tests.faults.table import outcome, random_tokens, run, write_store
from un_lightning.compose import configs_folder
from un_lightning.config import ModelsConfig, ModelSource
from un_lightning.config.models import MemberConfig
from un_lightning.errors import UserError
from un_lightning.labels import topics
from un_lightning.models.loading import load_member


REPOSITORY = Path(__file__).parent.parent
SOURCES = sorted(
    path for name in ("un_lightning", "experiments") for path in (REPOSITORY / name).rglob("*.py")
)
RUNS_CODE = {"pickle", "cPickle", "dill", "cloudpickle", "marshal", "shelve", "joblib", "jsonpickle"}
CALLS = {"eval", "exec", "compile", "os.system", "os.popen", "pd.read_pickle", "pandas.read_pickle"}
FINE = {
    ("pretrained.py", "from pickle import UnpicklingError"),
    ("sparse_encoder.py", "from pickle import UnpicklingError"),
    ("topics.py", "yaml.load(text, _Loader)"),
}
"""An exception's class, and a loader that derives from the safe one (below)."""


def dangers(source: str) -> list[str]:
    """Code that could run what it reads."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import) and RUNS_CODE & {name.name.split(".")[0] for name in node.names}:
            found.append(ast.unparse(node))
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in RUNS_CODE:
            found.append(ast.unparse(node))
        if not isinstance(node, ast.Call):
            continue
        name, text = ast.unparse(node.func), ast.unparse(node)
        options = {option.arg: ast.unparse(option.value) for option in node.keywords}
        loads = name == "torch.load" and options.get("weights_only") != "True"
        arrays = name in ("np.load", "numpy.load") and options.get("allow_pickle", "False") != "False"
        unsafe = name.startswith("yaml.") and name.split(".")[1] in ("load", "load_all", "full_load")
        unsafe |= name.startswith("yaml.unsafe_load")
        shell = options.get("shell", "False") != "False"
        remote = options.get("trust_remote_code") == "True"
        if name in CALLS or loads or arrays or unsafe or shell or remote:
            found.append(text)
    return found


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from dill import load",
        "import joblib.numpy_pickle",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "np.load(path, allow_pickle=True)",
        "yaml.load(text, yaml.Loader)",
        "yaml.unsafe_load(text)",
        "subprocess.run(line, shell=True)",
        "os.system(line)",
        "eval(text)",
        "AutoModel.from_pretrained(path, trust_remote_code=True)",
    ],
)
def test_dangers_are_seen(source):
    assert dangers(source) == [source]


def test_harmless_code_is_no_danger():
    source = "model.eval(); torch.load(p, weights_only=True); yaml.safe_load(t); np.load(p); re.compile(p)"
    assert dangers(source) == []


def test_no_module_runs_what_it_reads():
    found = {(path.name, line) for path in SOURCES for line in dangers(path.read_text())}
    assert found == FINE
    assert len(SOURCES) > 100
    assert issubclass(topics._Loader, yaml.SafeLoader)


def test_pickles_and_foreign_code_are_off_everywhere():
    assert not ModelsConfig.allow_pickle
    assert not ModelsConfig.allow_remote_code
    for path in configs_folder().rglob("*.yaml"):
        settings = "\n".join(line.partition("#")[0] for line in path.read_text().splitlines())
        assert "allow_pickle" not in settings, path
        assert "allow_remote_code" not in settings, path


class Bomb:
    """What an attacker puts into a pickle."""

    def __reduce__(self):
        return os.mkdir, ("exploded",)


@pytest.mark.parametrize("allowed", [False, True])
def test_code_in_weights_is_never_run(tmp_path, allowed):
    """Not even where pickled weights are allowed: only tensors are read from them."""
    folder = tmp_path / "model"
    folder.mkdir()
    settings = '{"model_type": "gpt2", "n_layer": 1, "n_embd": 8, "n_head": 1, "vocab_size": 16}'
    (folder / "config.json").write_text(settings)
    torch.save({"transformer.wte.weight": Bomb()}, folder / "pytorch_model.bin")
    member = MemberConfig(name="a", path=str(folder))
    family = ModelsConfig(
        family="x", source=ModelSource.local, members=[member], reference="a", allow_pickle=allowed
    )
    with pytest.raises(UserError, match="model 'a'"):
        load_member(family, member)
    assert not Path("exploded").exists()


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return write_store(tmp_path_factory.mktemp("security") / "store", random_tokens())


HOSTILE = [
    "../x",
    "/tmp/x",
    "..",
    ".hidden",
    "a/b",
    "a\\b",
    "\x1b[2Ja",
    "a\nb",
    "\u202ea",
    "",
    " ",
    "a" * 101,
]


@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
@pytest.mark.parametrize("key", ["models.members", "models.family"])
def test_names_of_models_cannot_leave_the_folder(capsys, store, tmp_path, key, name):
    members = [{"name": name, "seed": 0}, {"name": "b", "seed": 1}]
    changes = {"models__members": members, "models__reference": "b"} if key == "models.members" else {}
    stopped = outcome(capsys, "exact", store, **changes or {"models__family": name})
    assert (stopped.code, stopped.out) == (2, "")
    assert key in stopped.err
    assert "must be a name that a file can have" in stopped.err
    assert all(char.isprintable() or char == "\n" for char in stopped.err)
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize(
    "name", ["../x", "/tmp/x", "a/../b", "a/b/c", "\x1b[2Ja", "a\nb", "\u202ea", "latest"], ids=ascii
)
def test_names_of_runs_cannot_leave_the_root(capsys, store, tmp_path, name):
    stopped = outcome(capsys, "exact", store, name=name)
    assert (stopped.code, stopped.out) == (2, "")
    assert stopped.err.startswith("error: name ")
    assert all(char.isprintable() or char == "\n" for char in stopped.err)
    assert [*tmp_path.iterdir()] == []


def test_names_in_any_script_are_names(capsys, store, tmp_path):
    members = [{"name": "модель-ä", "seed": 0}, {"name": "模型 <b>&", "seed": 1}]
    changes = {"models__members": members, "models__reference": "модель-ä", "name": "опыт/日本語 é"}
    done = outcome(capsys, "exact", store, **changes)
    assert (done.code, done.err) == (0, "")
    assert "'модель-ä'" in done.out
    assert len([*tmp_path.glob("runs/опыт/日本語 é/2*/summary.json")]) == 1


def test_secrets_are_in_no_file_of_a_run(store, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["run.py", "logger.notes=https://me:geheim@host/"])
    config = {"logger__kind": "csv", "logger__notes": "see https://me:geheim@host/ and hf_geheimgeheimgeheim"}
    run("ablation", store, run_dir="mine", **config)
    files = [path for path in (tmp_path / "mine").rglob("*") if path.is_file()]
    assert len(files) > 3
    assert not [path for path in files if b"geheim" in path.read_bytes()]
    assert "geheim" not in "".join(capsys.readouterr())
    notes = yaml.safe_load((tmp_path / "mine" / "config.yaml").read_text())["logger"]["notes"]
    assert notes == "see https://me:***@host/ and ***"


def test_the_installed_packages_fit_together():
    done = subprocess.run([sys.executable, "-m", "pip", "check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_every_package_is_pinned():
    """Continuous integration installs these versions and no others; `make audit` looks them up."""
    lines = [line for line in (REPOSITORY / "constraints.txt").read_text().splitlines() if line[:1] != "#"]
    assert len(lines) > 50
    assert [line for line in lines if line and "==" not in line] == []
