"""What each neuron responds to: labels of tokens, and the families that follow (paper section 4.3).

The text is read twice. The first reading adds up every label of every neuron; with it, each neuron's best
labels are known, and the second reading looks at those alone: histograms with the label and without it, and
the sums by group of blocks that errors need. Both are ordinary passes: they resume, and ranks share them.
"""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Int64
from torch import Tensor, nn

from un_lightning.analyses.base import Analysis, Plan
from un_lightning.analyses.families.findings import FamilyFindings
from un_lightning.analyses.families.follow import FamilyFollow, follow_slots
from un_lightning.analyses.families.label_set import LabelSet
from un_lightning.analyses.families.memory import check_memory
from un_lightning.analyses.families.model import FamilyModel
from un_lightning.analyses.families.report import family_results
from un_lightning.analyses.families.scan import FamilyScan, OpenBatch
from un_lightning.analyses.families.word_role import ROLES, WordRoles
from un_lightning.config import FamiliesConfig
from un_lightning.data.census import token_counts
from un_lightning.data.datamodule import TokenBlocks
from un_lightning.data.loader import Batch
from un_lightning.errors import UserError
from un_lightning.labels import TokenLabels, build_labels, previous_tokens
from un_lightning.labels.decoding import decode_vocabulary
from un_lightning.models.family import Family
from un_lightning.results.neuron_tables import read_tables, with_groups
from un_lightning.results.results import Results
from un_lightning.stats.bags import Bags


class FamiliesAnalysis(Analysis):
    """Labels and family of every neuron of one or several models."""

    settings: FamiliesConfig

    def __init__(self, config: FamiliesConfig, family: Family, seed: int) -> None:
        super().__init__(config, family, seed)
        names = config.models or [family.reference]
        for name in names:
            if name not in family.models:
                members = ", ".join(family.models)
                raise UserError(f"analysis.models holds '{name}', but family {family.name} has {members}")
        self.models = {name: FamilyModel(family.models[name], config.layers) for name in names}
        self.members = nn.ModuleList(family.models[name] for name in names)  # the others stay where they are
        tables = read_tables(config.tables) if config.tables else {}
        self.universal = {
            name: with_groups(tables[name], config.threshold) for name in names if name in tables
        }
        if tables and not self.universal:
            raise UserError(
                f"analysis.tables holds the models {', '.join(tables)}, but {', '.join(names)} is read"
            )
        self.pilot_blocks = config.pilot

    def look(self, pilot: Batch) -> dict[str, Tensor]:
        """Mean and range of each neuron over a few blocks, and how often each token comes."""
        where, _ = self._counted(pilot)
        known = {"counts": torch.from_numpy(token_counts(self._data()))}
        for name, model in self.models.items():
            found = model.look(pilot.tokens, where, self.settings.widen)
            known |= {f"{name}/{key}": value for key, value in found.items()}
        return known

    def plan(self, known: Mapping[str, Tensor]) -> Plan:  # noqa: ARG002
        """Two readings, unless nothing is to be looked at more closely."""
        return Plan(2 if self.settings.leading else 1)

    def begin(self, known: Mapping[str, Tensor]) -> None:
        """Make the labels, and room for what is found of them."""
        for name, model in self.models.items():
            model.pilot = {key: known[f"{name}/{key}"] for key in ("pre", "post", "low", "high")}
        data = self._data()
        self.groups = data.groups(self.settings.groups).to(self.device)
        self._make_labels(known["counts"], data)
        rows, context = len(self.ids), data.store.context
        check_memory(self.settings, self.models, self.labels, rows, context)
        self.scans: dict[str, FamilyScan] = {}
        self.follows: dict[str, FamilyFollow] = {}
        self.findings = {
            name: FamilyFindings(
                model.selection,
                self.labels.count,
                context,
                self.settings.top_examples,
                self.settings.leading + len(ROLES),
                model.pilot["post"],
            )
            for name, model in self.models.items()
        }

    def begin_pass(self) -> None:
        """Make the sums of every label, or those of the leading ones."""
        self.statistics, self.finished, self.scans = {}, {}, {}
        settings = self.settings
        for name, model in self.models.items():
            if self.current == 0:
                reading = self.scans[name] = FamilyScan.make(
                    model.selection,
                    len(self.ids),
                    self._data().store.context,
                    self.labels.count - 2 * self.labels.own,
                    settings.top_examples,
                    model.pilot["post"],
                )
            else:
                reading = self.follows[name] = FamilyFollow(
                    model.pilot, self.labels.count, settings.leading, settings.bins, settings.groups
                )
                found = self.findings[name].named()
                self.finished |= {f"found-{key}-{name}": part for key, part in found.items()}
            self.statistics |= {f"{key}-{name}": part for key, part in reading.named().items()}

    def add(self, batch: Batch) -> None:
        """Run every model once; its hooks add the layers."""
        if self.current == 0:
            self._scan(batch)
        else:
            self._follow(batch)

    def end_pass(self) -> None:
        """From sums by token to sums by label, and from those to the labels that lead."""
        if self.current > 0:
            return
        settings = self.settings
        for name, findings in self.findings.items():
            model = self.models[name]
            findings.fill(
                self.scans.pop(name),
                model.selection,
                self.labels,
                self.ids,
                model.pilot["post"],
                self.counted,
            )
            if settings.leading:
                best = findings.best(self.labels, model.pilot["post"], settings.min_count)
                slots = follow_slots(best, self.labels, settings.leading, settings.roles)
                findings.leading.copy_(slots)
        self.statistics = {}

    def report(self) -> Results:
        """Families, tables, figures."""
        return family_results(
            self.settings,
            self.labels,
            self.models,
            self.findings,
            self.follows,
            self.universal,
            self._data(),
        )

    def _make_labels(self, counts: Int64[Tensor, " vocabulary"], data: TokenBlocks) -> None:
        self.ids = counts.nonzero().squeeze(1)
        self.rows = torch.zeros_like(counts)
        self.rows[self.ids] = torch.arange(len(self.ids), device=counts.device)
        eligible = counts.cpu().clone()
        eligible[list(data.excluded)] = 0
        token, context = build_labels(
            self.settings.labels,
            data.tokenizer,
            len(counts),
            counts=eligible,
            subsets=self.subsets,
            context=data.store.context,
        )
        token = TokenLabels(token.names, token.kinds, token.matrix.to(counts.device))
        self.labels = LabelSet(token, context)
        if self.labels.count == 0:
            raise UserError("there is no label to compare neurons with: choose other analysis.labels.kinds")
        self.roles = WordRoles(decode_vocabulary(data.tokenizer, len(counts)))

    def _scan(self, batch: Batch) -> None:
        where, place = self._counted(batch)
        before = previous_tokens(batch)[where]
        having = (before >= 0).nonzero().squeeze(1)
        index = torch.arange(len(where), device=where.device)
        context = self.labels.in_context(batch, where)
        wide = next(iter(self.models.values())).pilot["post"].dtype
        opened = OpenBatch(
            place,
            Bags.of(self.rows[batch.tokens.flatten()[where]], index),
            Bags.of(self.rows[before[having]], having),
            Bags.of(where % batch.tokens.shape[1], index),
            context,
            context.T.to(wide).contiguous(),
        )
        for name, model in self.models.items():
            scan, pilot = self.scans[name], model.pilot
            scan.add_tokens(opened)
            pre, post = scan.sinks(pilot["pre"], pilot["post"], opened)
            model.run(batch.tokens, where, pre, post)

    def _follow(self, batch: Batch) -> None:
        where, place = self._counted(batch)
        labels, roles = self.labels.of(batch, where), self.roles(batch)[where]
        groups = self.groups[place // batch.tokens.shape[1]]
        for name, model in self.models.items():
            follow = self.follows[name]
            follow.open(self.findings[name].leading, labels, roles, groups)
            model.run(batch.tokens, where, *follow.sinks(model.pilot["post"]))

    def _counted(self, batch: Batch) -> tuple[Int64[Tensor, " counted"], Int64[Tensor, " counted"]]:
        """Index of each counted token in the batch, and its place in the store."""
        context = batch.tokens.shape[1]
        where = batch.counted.flatten().nonzero().squeeze(1)
        return where, batch.blocks[where // context] * context + where % context

    def _data(self) -> TokenBlocks:
        data: Any = self.trainer.datamodule  # pyright: ignore[reportAttributeAccessIssue]
        assert isinstance(data, TokenBlocks)
        return data
