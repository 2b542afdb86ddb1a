"""What a sweep gives reaches Hydra with its type."""

import pytest
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st

from un_lightning.errors import UserError
from un_lightning.sweeps.agent_values import PATH, hydra_value, overrides, read_values, with_types


text = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"])).filter(lambda s: "${" not in s)
single = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | text
keys = st.from_regex(r"[a-z][a-z_]{0,5}", fullmatch=True).filter(
    lambda key: key not in ("nan", "inf", "null", "true", "false")
)


@given(
    st.recursive(
        single,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
        max_leaves=6,
    )
)
def test_hydra_reads_back_every_value(value):
    read = OverridesParser.create().parse_override(f"key={hydra_value(value)}").value()
    assert read == value
    assert type(read) is type(value)


def test_what_an_agent_wrote_is_replaced():
    values = {"a.b": None, "c": {"d": "x,y", "e": {"f": 1}}, "g": True, "h": [0, None]}
    agent = [
        *(f"{key}={value}" for key, value in values.items()),
        "experiment=x",
        "--flag",
        "++g=True",
        "ab=None",
    ]
    assert with_types(agent, values) == [
        "a.b=null", "c.d='x,y'", "c.e.f=1", "g=true", "h=[0,null]", "experiment=x",
        "--flag", "++g=true", "ab=None",
    ]  # fmt: skip
    assert with_types(["+a.b=None"], values) == ["+a.b=null"]
    assert overrides({"a": {}}) == ["a={}"]


def test_values_come_from_the_file_that_the_environment_names(tmp_path, monkeypatch):
    path = tmp_path / "values.yaml"
    path.write_text(
        yaml.safe_dump({"wandb_version": 1, "a.b": {"value": 1, "desc": None}, "c": {"value": None}})
    )
    monkeypatch.setenv(PATH, str(path))
    assert read_values() == {"a.b": 1, "c": None}
    path.write_text("wandb_version: 1")
    assert read_values() == {}
    monkeypatch.setenv(PATH, str(tmp_path / "none.yaml"))
    with pytest.raises(UserError, match="WANDB_SWEEP_PARAM_PATH"):
        read_values()
    monkeypatch.delenv(PATH)
    assert read_values() == {}
