"""What a run would do is said before it is begun, and nothing is written."""

import pytest

from un_lightning import cli


SMALL = ["models=random_tiny", "data.context=32", "trainer=cpu", "trainer.threads=1", "logger=none"]


def explain(*words):
    cli.launch("explain", [*SMALL, *words])


@pytest.mark.parametrize("experiment", ["tiny/universality", "tiny/activations", "tiny/weights"])
def test_models_text_passes_memory_and_time(tmp_path, capsys, monkeypatch, experiment):
    monkeypatch.setattr("un_lightning.running.explain.SECONDS", 0.1)
    explain(f"experiment={experiment}", "data.tokens=100_000", "data.batch_size=4")
    said = " ".join(capsys.readouterr().out.split())
    for text in (
        f"{experiment}:",
        "million weights",
        "100,000 tokens in 3,125 blocks of 32",
        "Nothing was written",
    ):
        assert text in said
    if experiment == "tiny/weights":
        assert "layers, not over text" in said
    else:
        assert "Passes: the text is read" in said
        assert "Time: about" in said
    assert [*tmp_path.iterdir()] == []


def test_studies_reports_and_trainings(capsys):
    explain("experiment=tiny/neuron_table")
    assert "several runs" in capsys.readouterr().out
    cli.launch("explain", ["experiment=tiny/properties"])
    assert "finished tables" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        cli.launch("explain", ["experiment=tiny/train"])
    assert "explain is for analyses" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["explain", "run", "prepare"])
def test_more_tokens_than_the_text_can_hold_are_refused_before_it_is_read(tmp_path, capsys, verb):
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "a.txt").write_text("word " * 1000)
    own = ["experiment=tiny/universality", "data=files", f"data.path={tmp_path}/text", "data.tokens=100_000"]
    with pytest.raises(SystemExit) as stopped:
        cli.launch(verb, [*SMALL, *own])
    assert stopped.value.code == 2
    error = " ".join(capsys.readouterr().err.split())
    assert "data.tokens=100,000 is more than the text can hold: its files have 5,001 bytes" in error


def test_multirun_names_its_folders_by_override(tmp_path, capsys, small_text):
    words = [
        "experiment=tiny/universality",
        *small_text,
        "data.tokens=512",
        "analysis.draws=1,2",
        "--multirun",
    ]
    for _ in range(2):
        cli.launch("run", [*SMALL, *words])
    names = sorted(path.name for path in (tmp_path / "runs" / "tiny" / "universality" / "multirun").iterdir())
    assert len(names) == 4
    assert sum("analysis.draws=1" in name for name in names) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]
