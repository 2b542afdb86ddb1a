"""The record of a run, read back from the files that Weights & Biases writes without a server."""

import csv
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import MagicMock

import numpy as np
import pandas as pd
import pytest
import wandb
from matplotlib.figure import Figure
from pytorch_lightning.loggers import CSVLogger, WandbLogger
from pytorch_lightning.utilities import rank_zero_only

from tests import processes
from un_lightning.config import LoggerConfig, LoggerKind, WandbMode
from un_lightning.errors import UserError
from un_lightning.results.results import Results
from un_lightning.tracking import logger as tracking
from un_lightning.tracking import record
from un_lightning.tracking.record import MAX_ROWS


SECRET = "hf_NobodyMayReadThis"
API_KEY = "0123456789abcdef0123456789abcdef01234567"
WANDB_VARIABLES = [
    "MODE", "API_KEY", "IDENTITY_TOKEN_FILE", "BASE_URL", "RUN_ID", "DATA_DIR", "DIR", "PROJECT",
]  # fmt: skip


def isolate(monkeypatch, home: Path) -> None:
    """Nobody is logged in, and nothing is written to the real home folder."""
    home.mkdir(exist_ok=True)
    for name in WANDB_VARIABLES:
        monkeypatch.delenv(f"WANDB_{name}", raising=False)
    for name in ("NODE_RANK", "GROUP_RANK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("NETRC", str(home / "netrc"))
    monkeypatch.setenv("WANDB_CACHE_DIR", str(home / "cache"))
    monkeypatch.setattr(rank_zero_only, "rank", 0)
    monkeypatch.setattr(sys, "argv", ["run.py", f"models.hub_token={SECRET}", "data.tokens=1000"])


@pytest.fixture(autouse=True)
def nobody(monkeypatch, tmp_path):
    isolate(monkeypatch, tmp_path / "home")
    yield
    if wandb.run is not None:
        wandb.finish()


def some_results(rows: int = 3) -> Results:
    figure = Figure(figsize=(2, 1))
    figure.add_subplot().plot([0, 1])
    neurons = pd.DataFrame({"model": "a", "layer": np.arange(rows), "excess_corr": 0.5, "universal": True})
    neurons.loc[1, "excess_corr"] = np.nan
    scalars = {"universal/count": 7, "excess/mean": 0.25, "nothing": float("nan"), "models": ["a", "b"]}
    return Results(scalars, {"neurons": neurons}, {"excess": figure})


def start(run_dir: Path, config: LoggerConfig | None = None):
    return tracking.make_logger(
        config or LoggerConfig(tags=["paper", "tiny"], notes="a note"),
        run_dir,
        group="tiny/universality",
        job_type="correlation",
        name="the name",
        run_config={"seed": 3, "data": {"tokens": 1000}, "models": {"hub_token": SECRET, "path": Path("/x")}},
    )


def inspect(run: Path, *options: str) -> str:
    command = [sys.executable, "-m", "wandb", "leet", "inspect", *options, "--json", str(run)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def offline_runs(run_dir: Path) -> list[Path]:
    return sorted(run_dir.glob("wandb/offline-run-*"))


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """One offline run from start to end, by someone whose key is in the environment."""
    folder = tmp_path_factory.mktemp("recorded")
    with pytest.MonkeyPatch.context() as monkeypatch:
        isolate(monkeypatch, folder / "home")
        monkeypatch.setenv("WANDB_API_KEY", API_KEY)
        run_dir = folder / "run"
        config = LoggerConfig(tags=["paper", "tiny"], notes="a note", mode=WandbMode.offline)
        logger = start(run_dir, config)
        results = some_results(MAX_ROWS + 2)
        results.write(run_dir)
        tracking.log_results(logger, results, 1000)
        tracking.finish(logger, 0)
        (run,) = offline_runs(run_dir)
        records = [json.loads(line) for line in inspect(run).splitlines()]
        summary = json.loads(inspect(run, "--summary"))
    return SimpleNamespace(run_dir=run_dir, run=run, records=records, summary=summary)


def records_of(recorded, kind: str) -> list[dict]:
    return [record[kind] for record in recorded.records if record["type"] == kind]


@pytest.mark.slow
def test_names_and_config(recorded):
    (run,) = records_of(recorded, "run")
    assert run["run_group"] == "tiny/universality"
    assert run["job_type"] == "correlation"
    assert run["display_name"] == "the name"
    assert run["project"] == "un-lightning"
    assert run["notes"] == "a note"
    assert recorded.summary["tags"] == ["paper", "tiny"]
    assert recorded.summary["config"] == {
        "seed": 3,
        "data": {"tokens": 1000},
        "models": {"hub_token": "***", "path": "/x"},
    }


@pytest.mark.slow
def test_scalars_are_a_point_at_the_tokens_and_the_summary(recorded):
    (history,) = [record["item"] for record in records_of(recorded, "history")]
    assert (history["tokens"], history["universal/count"], history["excess/mean"]) == (1000, 7, 0.25)
    assert "nothing" not in history
    summary = recorded.summary["summary"]
    assert (summary["universal/count"], summary["excess/mean"]) == (7, 0.25)
    assert summary["models"] == ["a", "b"]
    assert summary.get("nothing") is None


@pytest.mark.slow
def test_tokens_are_the_axis_of_everything_before_anything_is_logged(recorded):
    kinds = [record["type"] for record in recorded.records]
    assert max(i for i, kind in enumerate(kinds) if kind == "metric") < kinds.index("history")
    axes = {metric.get("glob_name"): metric.get("step_metric") for metric in records_of(recorded, "metric")}
    assert axes == {None: None, "*": "tokens"}
    assert [m["name"] for m in records_of(recorded, "metric") if "name" in m] == ["tokens"]


@pytest.mark.slow
def test_the_figure_is_the_one_of_the_run_folder(recorded):
    image = recorded.summary["summary"]["figures/excess"]
    assert (image["_type"], image["width"], image["height"]) == ("image-file", 300, 150)
    stored = recorded.run / "files" / image["path"]
    assert stored.read_bytes() == (recorded.run_dir / "figures" / "excess.png").read_bytes()


@pytest.mark.slow
def test_the_head_of_a_long_table_says_so(recorded):
    key = f"tables/neurons_first_{MAX_ROWS}_of_{MAX_ROWS + 2}"
    entry = recorded.summary["summary"][key]
    assert (entry["_type"], entry["nrows"]) == ("table-file", MAX_ROWS)
    table = json.loads((recorded.run / "files" / entry["path"]).read_text())
    assert table["columns"] == ["model", "layer", "excess_corr", "universal"]
    assert table["data"][:2] == [["a", 0, 0.5, True], ["a", 1, None, True]]
    assert table["data"][-1][1] == MAX_ROWS - 1


@pytest.mark.slow
def test_all_tables_are_one_artifact_of_the_files_in_the_run_folder(recorded):
    (artifact,) = [item for item in records_of(recorded, "artifact") if item["type"] == "results"]
    files = {entry["path"]: entry["local_path"] for entry in artifact["manifest"]["contents"]}
    assert files == {
        "summary.json": str(recorded.run_dir / "summary.json"),
        "tables/neurons.parquet": str(recorded.run_dir / "tables" / "neurons.parquet"),
    }


@pytest.mark.slow
def test_no_file_holds_a_secret_or_lies_elsewhere(recorded):
    written = [path for path in recorded.run_dir.parent.rglob("*") if path.is_file()]
    assert len(written) > 8
    for path in written:
        content = path.read_bytes()
        assert SECRET.encode() not in content, path
        assert API_KEY.encode() not in content, path
    strays = [path for path in written if recorded.run_dir not in path.parents and path.suffix != ".log"]
    assert strays == []
    (environment, *_) = records_of(recorded, "environment")
    assert environment["args"] == ["models.hub_token=***", "data.tokens=1000"]


@pytest.mark.slow
def test_the_run_is_finished(recorded):
    assert (recorded.summary["state"], recorded.summary["exit_code"]) == ("finished", 0)


@pytest.mark.slow
def test_a_failed_run_has_its_exit_code_and_one_line_tells_how_to_upload(tmp_path, capfd):
    logger = start(tmp_path / "my run")
    tracking.finish(logger, 3)
    tracking.finish(logger, 3)  # a second call changes nothing
    printed = capfd.readouterr()
    assert printed.err == ""
    (line,) = printed.out.splitlines()
    assert line.startswith("W&B: not logged in, so the run is recorded offline")
    assert line.endswith(f"wandb sync '{tmp_path}/my run/wandb'/offline-run-*")
    (run,) = offline_runs(tmp_path / "my run")
    summary = json.loads(inspect(run, "--summary"))
    assert (summary["state"], summary["exit_code"]) == ("failed", 3)
    assert wandb.run is None


def test_a_resumed_run_continues_the_same_wandb_run(tmp_path, monkeypatch):
    ids = []
    for _ in range(2):
        logger = start(tmp_path)
        ids.append(logger.version)
        tracking.finish(logger, 1)
    assert ids[0] == ids[1] == (tmp_path / "wandb_id.txt").read_text()
    other = start(tmp_path / "other")
    assert other.version != ids[0]
    tracking.finish(other, 0)
    monkeypatch.setenv("WANDB_RUN_ID", "fromsweep")
    swept = start(tmp_path / "swept")
    assert swept.version == "fromsweep"


def test_a_run_that_was_left_open_is_not_continued_by_the_next(tmp_path):
    first, second = start(tmp_path / "a"), start(tmp_path / "b")
    assert first.version != second.version
    assert second.experiment.dir.startswith(str(tmp_path / "b"))


def test_results_must_be_written_first(tmp_path):
    logger = start(tmp_path)
    with pytest.raises(FileNotFoundError, match="results are written first"):
        tracking.log_results(logger, some_results(), 1)


@pytest.fixture
def init(monkeypatch):
    """Takes the place of the server: what would `wandb.init` be asked for?"""
    fake = MagicMock(return_value=MagicMock(spec=wandb.Run))
    monkeypatch.setattr(wandb, "init", fake)
    monkeypatch.setattr(record, "why_unreachable", lambda: None)
    return fake


LOGINS = {
    "key": {"WANDB_API_KEY": API_KEY},
    "identity": {"WANDB_IDENTITY_TOKEN_FILE": "/somewhere"},
    "netrc": {},
    "own server": {"WANDB_BASE_URL": "https://wandb.example.org:8080"},
    "other server": {"WANDB_BASE_URL": "https://elsewhere.example.org"},
}


@pytest.mark.parametrize(
    ("login", "mode", "expected"),
    [
        (None, "auto", "offline"),
        ("key", "auto", "online"),
        ("identity", "auto", "online"),
        ("netrc", "auto", "online"),
        ("own server", "auto", "online"),
        ("other server", "auto", "offline"),
        ("key", "online", "online"),
        ("key", "offline", "offline"),
        (None, "offline", "offline"),
    ],
)
def test_online_is_for_who_is_logged_in(tmp_path, monkeypatch, init, login, mode, expected):
    if login in ("netrc", "own server", "other server"):
        hosts = ("api.wandb.ai", "wandb.example.org:8080") if login != "netrc" else ("api.wandb.ai",)
        lines = "".join(f"machine {host} login user password {API_KEY}\n" for host in hosts)
        (tmp_path / "home" / "netrc").write_text(lines)
        (tmp_path / "home" / "netrc").chmod(0o600)
    for name, value in LOGINS.get(login, {}).items():
        monkeypatch.setenv(name, value)
    start(tmp_path, LoggerConfig(mode=WandbMode(mode)))
    asked = init.call_args.kwargs
    assert asked["mode"] == expected
    assert asked["settings"].x_disable_stats is (expected == "offline")
    assert (asked["settings"].console, asked["resume"]) == ("off", "allow")


@pytest.mark.parametrize(
    ("variable", "mode", "expected"),
    [
        ("offline", "auto", "offline"),
        ("dryrun", "auto", "offline"),
        ("online", "auto", "online"),
        ("run", "auto", "online"),
        ("", "auto", "online"),
        ("offline", "online", "online"),
        ("disabled", "offline", "offline"),
    ],
)
def test_the_environment_counts_where_the_config_leaves_it_open(
    tmp_path, monkeypatch, init, variable, mode, expected
):
    monkeypatch.setenv("WANDB_API_KEY", API_KEY)
    monkeypatch.setenv("WANDB_MODE", variable)
    start(tmp_path, LoggerConfig(mode=WandbMode(mode)))
    assert init.call_args.kwargs["mode"] == expected


def test_an_unreadable_netrc_is_no_login(tmp_path, init):
    (tmp_path / "home" / "netrc").write_text("machine")
    start(tmp_path)
    assert init.call_args.kwargs["mode"] == "offline"


def test_the_line_names_the_variable_that_asked_for_it(tmp_path, monkeypatch, init, capsys):
    monkeypatch.setenv("WANDB_MODE", "offline")
    start(tmp_path)
    assert capsys.readouterr().out.startswith("W&B: WANDB_MODE is offline, so the run is recorded offline")


def test_who_asked_for_offline_is_told_nothing(tmp_path, init, capsys):
    start(tmp_path, LoggerConfig(mode=WandbMode.offline))
    assert capsys.readouterr().out == ""


def test_online_without_a_login_is_a_mistake(tmp_path):
    with pytest.raises(UserError, match=r"wandb login.*logger\.mode=offline"):
        start(tmp_path, LoggerConfig(mode=WandbMode.online))


def test_an_unknown_mode_in_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "sometimes")
    with pytest.raises(UserError, match="WANDB_MODE is 'sometimes', allowed are"):
        start(tmp_path)


def test_an_error_of_wandb_names_the_way_out(tmp_path, init):
    init.side_effect = wandb.errors.CommError("no route to host")
    with pytest.raises(UserError, match=r"no route to host \(logger\.mode=offline needs no server\)"):
        start(tmp_path)


def test_a_record_that_cannot_be_completed_is_a_warning(tmp_path, init, capsys):
    init.return_value.finish.side_effect = wandb.errors.CommError("no route to host")
    tracking.finish(start(tmp_path), 0)
    assert "the W&B record may be incomplete: no route to host" in capsys.readouterr().err


def test_csv(tmp_path):
    logger = start(tmp_path, LoggerConfig(kind=LoggerKind.csv))
    assert isinstance(logger, CSVLogger)
    tracking.log_results(logger, some_results(), 1000)
    tracking.finish(logger, 0)
    with (tmp_path / "csv" / "metrics.csv").open() as file:
        assert list(csv.DictReader(file)) == [
            {"universal/count": "7", "excess/mean": "0.25", "tokens": "1000", "step": "1000"}
        ]
    settings = (tmp_path / "csv" / "hparams.yaml").read_text()
    assert "seed: 3" in settings
    assert SECRET not in settings


@pytest.mark.parametrize("disabled", [False, True])
def test_no_record(tmp_path, monkeypatch, init, disabled):
    if disabled:
        monkeypatch.setenv("WANDB_MODE", "disabled")
    logger = start(tmp_path, LoggerConfig(kind=LoggerKind.wandb if disabled else LoggerKind.none))
    assert logger is None
    tracking.log_results(logger, some_results(), 1)
    tracking.finish(logger, 1)
    init.assert_not_called()


@pytest.mark.parametrize("variable", [None, "NODE_RANK", "GROUP_RANK"])
def test_other_ranks_record_nothing(tmp_path, monkeypatch, init, capsys, variable):
    if variable:
        monkeypatch.setenv(variable, "1")
    else:
        monkeypatch.setattr(rank_zero_only, "rank", 1)
    logger = start(tmp_path)
    assert isinstance(logger, WandbLogger)
    assert logger.save_dir == str(tmp_path)
    tracking.log_results(logger, some_results(), 1)
    tracking.finish(logger, 1)
    init.assert_not_called()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home"]
    assert capsys.readouterr().out == ""


@pytest.mark.slow
def test_wandb_is_imported_only_where_it_is_used(tmp_path):
    code = (
        "import sys; from pathlib import Path\n"
        "from un_lightning.config import LoggerConfig, LoggerKind\n"
        "from un_lightning.tracking.logger import make_logger\n"
        "config = LoggerConfig(kind=LoggerKind.csv)\n"
        f"make_logger(config, Path({str(tmp_path)!r}), group='g', job_type='j', name='n', run_config={{}})\n"
        "assert 'wandb' not in sys.modules\n"
    )
    assert processes.finish(processes.start(exec, code, output=tmp_path / "said.txt")) == [0]
    assert (tmp_path / "csv").is_dir()
