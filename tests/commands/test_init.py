"""Configs of a family of one's own."""

import pytest

from un_lightning.commands import init
from un_lightning.compose import composer


def test_what_is_written_composes_and_is_never_replaced(tmp_path, capsys):
    arguments = ["my_family", "--config-dir", str(tmp_path)]
    assert init.main(arguments) == 0
    with composer() as compose:
        config, _ = compose(["--config-dir", str(tmp_path), "experiment=my_family/universality"])
    assert (config.name, config.models.family) == ("my_family/universality", "my_family")
    models = tmp_path / "models" / "my_family.yaml"
    models.write_text("mine")
    capsys.readouterr()
    assert init.main(arguments) == 2
    assert "exists already" in capsys.readouterr().err
    assert models.read_text() == "mine"


@pytest.mark.parametrize(
    ("name", "message"), [("../x", "cannot be the name"), ("un_tiny", "shipped already")]
)
def test_names_that_cannot_be(name, message, tmp_path, capsys):
    assert init.main([name, "--config-dir", str(tmp_path)]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
