"""Where a rank stands among others, and what it says when one of them does not come."""

from datetime import timedelta

import pytest
import torch

from un_lightning.analyses.meeting import meeting
from un_lightning.analyses.node import Node
from un_lightning.config import Split, Strategy, TrainerConfig
from un_lightning.errors import UserError
from un_lightning.lightning import make_trainer


@pytest.mark.parametrize(("split", "made"), [(Split.rows, [[0, 2, 4], [1, 3, 5]]), (Split.tokens, [])])
def test_ranks_with_the_same_rows_wait_as_long_as_all_others(monkeypatch, tmp_path, split, made):
    asked = []
    monkeypatch.setattr(
        torch.distributed, "new_group", lambda ranks, **options: asked.append((ranks, options))
    )
    config = TrainerConfig(accelerator="cpu", devices=2, nodes=3, strategy=Strategy.ddp, timeout_minutes=45.0)
    node = Node.of(make_trainer(config, None, tmp_path), split)
    assert asked == [(ranks, {"timeout": timedelta(minutes=45)}) for ranks in made]
    assert (node.devices, node.shares) == ((2, 3) if made else (1, 6))


def test_who_waits_in_vain_says_so():
    """In torch's words for gloo; any other error is left alone."""
    with (
        pytest.raises(UserError, match="rank 3 waited .* trainer.timeout_minutes.*resume=auto"),
        meeting(3),
    ):
        raise RuntimeError("[gloo/transport/tcp/unbound_buffer.cc:78] Timed out waiting 12000ms for recv")
    with pytest.raises(RuntimeError, match="Connection closed by peer"), meeting(3):
        raise RuntimeError("Connection closed by peer")
