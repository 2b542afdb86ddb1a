"""Models with random weights, built from the settings of an architecture."""

from difflib import get_close_matches
from typing import Any

import torch
from torch import nn

from un_lightning.errors import UserError
from un_lightning.models.kinds import refuse_config
from un_lightning.models.quiet import quiet_transformers


def build_random(name: str, architecture: dict[str, Any], seed: int) -> nn.Module:
    """Build a causal language model with seeded weights; the caller's random numbers stay as they are.

    Args:
        name: What error messages call the model.
        architecture: `model_type` and settings of that type's config in transformers.
        seed: Seed of the weights.

    Returns:
        The model in float32 on the CPU.

    Raises:
        UserError: The type or a setting is unknown, or the settings do not go together.
    """
    from huggingface_hub.errors import StrictDataclassError
    from transformers import AutoConfig, AutoModelForCausalLM

    settings = {key: value for key, value in architecture.items() if key != "model_type"}
    try:
        with quiet_transformers():
            config = AutoConfig.for_model(architecture["model_type"], **settings)
            _refuse_unknown(name, config, settings)
            refuse_config(name, config.to_dict())
            with torch.random.fork_rng(devices=[]):
                torch.default_generator.manual_seed(seed)  # torch.manual_seed would reseed the GPUs, too
                return AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    except (StrictDataclassError, ValueError, TypeError, KeyError, ArithmeticError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise UserError(f"models.architecture of '{name}' builds no model: {reason}") from error


def _refuse_unknown(name: str, config: Any, settings: dict[str, Any]) -> None:
    """Refuse misspelt settings, which transformers keeps as attributes that nothing reads."""
    known = {*getattr(type(config), "__dataclass_fields__", {}), *config.attribute_map}
    for key in settings:
        if known and key not in known and key in vars(config):
            close = get_close_matches(key, known, n=3)
            hint = f"; did you mean {', '.join(close)}?" if close else ""
            raise UserError(
                f"models.architecture of '{name}': {config.model_type} has no setting '{key}'{hint}"
            )
