"""What all analyses of a single model have in common."""

from torch import nn

from un_lightning.analyses.base import Analysis
from un_lightning.config import OneModelConfig, Site
from un_lightning.errors import UserError
from un_lightning.models.family import Family


class OneModel(Analysis):
    """A pass over one member of a family.

    Attributes:
        model: The member.
        units: Its neurons.
    """

    def __init__(self, config: OneModelConfig, family: Family, seed: int) -> None:
        super().__init__(config, family, seed)
        name = config.model or family.reference
        if name not in family.models:
            members = ", ".join(family.models)
            raise UserError(f"analysis.model is '{name}', but family {family.name} has {members}")
        self.model = family.models[name]
        self.members = nn.ModuleList([self.model])  # the other members stay where they are
        self.units = self.model.units(Site.mlp_post)
