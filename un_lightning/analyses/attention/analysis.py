"""Neurons that turn attention heads off and on by way of BOS (paper section 5.3; method H).

A head that attends to BOS moves next to nothing. Weights say which neurons pull a head's queries towards the
key of BOS, or away from it. The pass then cuts the path from a neuron to the queries of a head, keeps all
keys and values, and watches attention and output. The model runs as it is; only the heads are computed a
second time, from the residual stream that passes.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from un_lightning.analyses.attention.choice import Pair, Screen, Shape, parse_pairs, parse_screens
from un_lightning.analyses.attention.report import attention_results
from un_lightning.analyses.attention.scores import Scores
from un_lightning.analyses.one_model import OneModel
from un_lightning.config import AttentionConfig, Site
from un_lightning.data.census import draw_places
from un_lightning.data.datamodule import TokenBlocks
from un_lightning.data.loader import Batch
from un_lightning.errors import UserError
from un_lightning.models.attention import check_attention, embed, read_attention
from un_lightning.models.family import Family
from un_lightning.results.results import Results
from un_lightning.stats.attention_paths import ELEMENTS, Head, HeadPaths, bos_attention, centred
from un_lightning.stats.head_sums import HeadSums
from un_lightning.stats.path_sums import QUANTITIES, PathSums, ScreenSums
from un_lightning.stats.token_sample import TokenSample


class AttentionAnalysis(OneModel):
    """Scores of all neurons and heads, paths of some of them cut, and whole layers screened."""

    settings: AttentionConfig

    def __init__(self, config: AttentionConfig, family: Family, seed: int) -> None:
        super().__init__(config, family, seed)
        check_attention(self.model.name, self.model.module)
        trunk: Any = self.model.module
        heads = [trunk.config.n_head] * len(self.units.widths)
        self.shape = Shape(self.model.name, self.units.widths, heads)
        if len(heads) < 2:
            raise UserError(f"'{self.model.name}' has one layer, so no head reads what a neuron writes")
        self.pairs = None if config.pairs is None else parse_pairs(config.pairs, self.shape)
        self.screens = None if config.screen is None else parse_screens(config.screen, self.shape)
        self.pilot_blocks = config.pilot

    def look(self, pilot: Batch) -> dict[str, Tensor]:
        """What heads read at BOS, which pairs have the largest scores, and which tokens are sampled."""
        data = self._data()
        context = pilot.tokens.shape[1]
        self._check_text(pilot, context)
        self._make_heads()
        first = self._first(context)
        behind = _behind(pilot)
        behind[:, :first] = False
        bos: list[Tensor] = []
        deviation: list[Tensor] = []

        def keep(layer: int, activation: Tensor) -> None:  # noqa: ARG001
            deviation.append(self._wide(activation[behind]).nan_to_num(0, 0, 0).std(0, correction=0))

        def read(layer: int, residual: Tensor) -> None:
            values, scale = centred(residual[:1, :1], self.layers[layer].eps)
            bos.append((values / scale[..., None])[0, 0])
            self._add_heads(layer, residual, behind)

        if not behind.any():
            raise UserError(
                "no token was counted behind analysis.first: read more tokens, or change data.exclude"
            )
        self._walk(pilot.tokens, read, keep)
        self.after_batch()
        known = {"bos": torch.stack(bos)}
        if self.pairs is None:
            scores = Scores(self.layers, known["bos"], self.heads.mean("normal"))
            attention = self.heads.mean("bos")
            sway = attention * (1 - attention) * self.heads.mean("inverse_scale")[:, None]
            chosen = scores.strongest(self.settings.top_pairs, torch.cat(deviation), sway.to(bos[0]))
            if not chosen:
                raise UserError(f"no neuron of '{self.model.name}' has a score: name pairs by analysis.pairs")
            known["pairs"] = torch.tensor(chosen)
        counts = {"sample": self.settings.sample, "screened": self.settings.screen_tokens}
        for seed, (name, count) in enumerate(counts.items()):
            # Twice as many are drawn as are wanted behind `first`, where no query is changed.
            wanted = min(-(-count * context // (context - first)), 4 * count)
            places = draw_places(data, wanted, self.seed + seed) if count else np.zeros(0, dtype=np.int64)
            drawn = torch.from_numpy(places)
            known[name] = drawn[drawn % context >= first]
        if not len(known["sample"]):
            raise UserError(
                "no token was counted behind analysis.first: read more tokens, or change data.exclude"
            )
        return known

    def begin(self, known: Mapping[str, Tensor]) -> None:
        """Read the weights and make the statistics."""
        self._make_heads()
        self.bos = known["bos"]
        self.groups = self._data().groups(self.settings.groups).to(self.device)
        self.first = self._first(self._data().store.context)
        if self.pairs is None:
            self.pairs = [Pair(*entry) for entry in known["pairs"].tolist()]
        if self.screens is None:
            self.screens = list(dict.fromkeys(Screen(p.layer, p.head_layer, p.head) for p in self.pairs))
        if self.settings.screen_tokens == 0:
            self.screens = []
        dtype = self.layers[0].W_Q.dtype
        self.paths = PathSums(self.settings.groups, len(self.pairs), self.device)
        self.sample = TokenSample(known["sample"], len(QUANTITIES) * len(self.pairs), self.device, dtype)
        self.screened = known["screened"]
        self.found = {
            screen: ScreenSums(self.units.widths[screen.layer], self.device) for screen in self.screens
        }
        self.statistics = {"heads": self.heads, "paths": self.paths, "sample": self.sample}
        for index, sums in enumerate(self.found.values()):
            self.statistics[f"screen{index:03d}"] = sums

    def add(self, batch: Batch) -> None:
        """Run the model once; at each layer, add up what its heads do and cut the paths into them."""
        tokens = batch.tokens
        context = tokens.shape[1]
        counted = _behind(batch)
        place = batch.blocks[:, None] * context + torch.arange(context, device=tokens.device)
        changed = counted[:, self.first :]
        group = self.groups[batch.blocks][:, None].expand(changed.shape)[changed]
        hits = self.sample.find(place[:, self.first :][changed])
        self.sample.add_tokens(hits[1])
        wanted = torch.isin(place, self.screened) & counted
        row, position = wanted[:, self.first :].nonzero(as_tuple=True)
        position = position + self.first
        needed = {pair.layer for pair in self.pairs or ()} | {screen.layer for screen in self.found}
        single: dict[tuple[int, int], Tensor] = {}
        whole: dict[int, Tensor] = {}

        def keep(layer: int, activation: Float[Tensor, "batch position neurons"]) -> None:
            if layer not in needed:
                return
            for pair in self.pairs or ():
                if pair.layer == layer:
                    single[pair.layer, pair.neuron] = self._wide(activation[..., pair.neuron])
            if any(screen.layer == layer for screen in self.found):
                whole[layer] = self._wide(activation[row, position])

        def read(layer: int, residual: Float[Tensor, "batch position d_model"]) -> None:
            self._add_heads(layer, residual, counted)
            for head in range(self.layers[layer].heads):
                pairs = [(i, p) for i, p in enumerate(self.pairs or ()) if p[2:] == (layer, head)]
                screens = [s for s in self.found if s[1:] == (layer, head)]
                if not pairs and not screens:
                    continue
                paths = HeadPaths(self._head(layer, head), residual, self.first)
                for index, pair in pairs:
                    activation = single[pair.layer, pair.neuron]
                    seen = paths.cut(activation, self.layers[pair.layer].w_out[pair.neuron])
                    bos, norm = paths.original
                    change = (activation[:, self.first :], bos - seen.bos, (norm - seen.norm) / norm)
                    values = torch.stack([own[changed] for own in change], dim=1)
                    self.paths.add(index, group, values, bos[changed], norm[changed])
                    columns = slice(len(QUANTITIES) * index, len(QUANTITIES) * (index + 1))
                    self.sample.add(columns, values[hits[0]], hits[1])
                for screen in screens:
                    if len(row):
                        activation = whole[screen.layer]
                        written = self.layers[screen.layer].w_out
                        original, without = paths.screen(row, position, activation, written)
                        self.found[screen].add(activation, original[:, None] - without)

        self._walk(tokens, read, keep)

    def after_batch(self) -> None:
        """Stop where nothing can be found any more: every head reads what one neuron writes."""
        if not torch.isfinite(self.heads.tensors["normal"]).all():
            raise UserError(
                f"the activations of '{self.model.name}' are not finite at some tokens of this text: one of "
                "them overflows, or training diverged"
            )

    def report(self) -> Results:
        """Tables, figures and scalars."""
        scores = Scores(self.layers, self.bos, self.heads.mean("normal"))
        context = self._data().store.context
        return attention_results(
            self.settings, self.units, scores, self.heads, self.pairs or [], self.paths, self.sample,
            self.found, context, self.seed,
        )  # fmt: skip

    def _make_heads(self) -> None:
        self.layers = read_attention(self.model.name, self.model.module)
        shape = len(self.layers), self.layers[0].heads, self.layers[0].w_out.shape[1]
        self.heads = HeadSums(*shape, self.device)

    def _add_heads(self, layer: int, residual: Tensor, counted: Tensor) -> None:
        """Attention to BOS and lengths of values, of all heads of a layer."""
        own = self.layers[layer]
        values, scale = centred(residual, own.eps)
        normal = values / scale[..., None]
        gram = own.W_O @ own.W_O.transpose(1, 2)
        step = max(1, ELEMENTS // (own.heads * residual.shape[1] ** 2))
        for start in range(0, len(normal), step):
            part = slice(start, start + step)
            rows = normal[part]
            heads = lambda weight, rows=rows: torch.einsum("bpd,hde->bhpe", rows, weight)
            queries = heads(own.W_Q) + own.bias_q[:, None]
            keys = heads(own.W_K) + own.bias_k[:, None]
            moved = heads(own.W_V)
            length = ((moved @ gram) * moved).sum(-1).clamp(min=0).sqrt()
            chosen = counted[part]
            bos = bos_attention(queries, keys, 0).transpose(1, 2)[chosen]
            self.heads.add(layer, bos, length.transpose(1, 2)[chosen], rows[chosen], scale[part][chosen])

    def _walk(self, tokens: Tensor, read: Any, keep: Any) -> None:
        """Run the model; `read` gets what each block reads, `keep` the neurons' activations before that."""
        deepest = len(self.units.widths) - 1

        def following(layer: int, residual: Tensor) -> None:
            if layer < deepest:
                read(layer + 1, self._wide(residual))

        read(0, self._wide(embed(self.model.module, tokens)))
        self.model.run(tokens, {Site.mlp_post: keep, Site.resid_post: following})

    def _head(self, layer: int, head: int) -> Head:
        own = self.layers[layer]
        return Head(
            own.W_Q[head],
            own.bias_q[head],
            own.W_K[head],
            own.bias_k[head],
            own.W_V[head],
            own.W_O[head],
            own.eps,
        )

    def _wide(self, values: Tensor) -> Tensor:
        return values if values.dtype == torch.float64 else values.float()

    def _first(self, context: int) -> int:
        first = self.settings.first
        return max(1, context // 2) if first is None else first

    def _check_text(self, pilot: Batch, context: int) -> None:
        if self._first(context) >= context:
            raise UserError(
                f"analysis.first is {self.settings.first}, but blocks end at position {context - 1}"
            )
        if not bool((pilot.tokens[:, 0] == pilot.tokens[0, 0]).all()):
            raise UserError("blocks begin with different tokens, but heads are asked about one BOS")

    def _data(self) -> TokenBlocks:
        data: Any = self.trainer.datamodule  # pyright: ignore[reportAttributeAccessIssue]
        assert isinstance(data, TokenBlocks)
        return data


def _behind(batch: Batch) -> Tensor:
    """Counted tokens behind the BOS of their block."""
    counted = batch.counted.clone()
    counted[:, 0] = False
    return counted
