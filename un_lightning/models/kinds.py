"""Kinds of models and checkpoints that are read differently or not at all, each refused in its own words."""

import json
from pathlib import Path
from typing import Any

from torch import nn

from un_lightning.config import Site
from un_lightning.errors import UserError


_EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts")
_NEURONS = (Site.mlp_post, Site.mlp_pre)


def refuse_checkpoint(name: str, folder: Path) -> None:
    """Refuse a folder that holds something else than the whole weights of a model.

    Args:
        name: What messages call the model.
        folder: Which exists.

    Raises:
        UserError: It holds an adapter, a GGUF file, quantised weights or an encoder-decoder.
    """
    if (folder / "adapter_config.json").is_file() and not (folder / "config.json").is_file():
        base = _json(folder / "adapter_config.json").get("base_model_name_or_path") or "its base model"
        raise UserError(
            f"model '{name}': '{folder}' is an adapter of {base}, not a model: merge the two (peft's "
            "merge_and_unload, then save_pretrained) and name the folder of the result"
        )
    if any(folder.glob("*.gguf")) and not any(folder.glob("*.safetensors")):
        raise UserError(
            f"model '{name}': '{folder}' holds GGUF weights, which are quantised for inference: use the "
            "original checkpoint of transformers"
        )
    refuse_config(name, _json(folder / "config.json"))


def refuse_config(name: str, config: dict[str, Any]) -> None:
    """Refuse what a model's configuration tells before its weights are read.

    Args:
        name: What messages call the model.
        config: What `config.json` holds.

    Raises:
        UserError: The weights are quantised, or the model is an encoder-decoder.
    """
    quantised = config.get("quantization_config")
    if quantised:
        method = quantised.get("quant_method", "unknown") if isinstance(quantised, dict) else "unknown"
        raise UserError(
            f"model '{name}' is quantised ({method}), so its activations are not those of the model that was "
            "trained: use the original weights, or dequantise and save it first"
        )
    if config.get("is_encoder_decoder"):
        raise UserError(
            f"model '{name}' is an encoder-decoder ({config.get('model_type')}), which reads two texts: use "
            "a decoder such as GPT-2, or models.source=loader with a function that returns one half of it"
        )


def why_lacking(module: nn.Module, site: Site) -> str:
    """Why a model has no such site, in parentheses; empty where nothing is known.

    Args:
        module: Of transformers.
        site: Which it lacks.
    """
    config = getattr(module, "config", None)
    if site not in _NEURONS or config is None:
        return ""
    kind = str(getattr(config, "model_type", ""))
    if any((getattr(config, key, 0) or 0) > 1 for key in _EXPERTS):
        return " (a mixture of experts: a token passes some of them, so no neuron has a value at each token)"
    if any(word in kind for word in ("mamba", "rwkv")):
        return " (a state-space model, whose blocks have no MLP)"
    if site is Site.mlp_pre and any(path.endswith("gate_up_proj") for path, _ in module.named_modules()):
        return " (gate and input projection are one module, which gives both together)"
    return ""


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
