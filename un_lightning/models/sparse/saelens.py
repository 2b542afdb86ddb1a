"""Encoders in SAELens' format, versions 2 to 6: `cfg.json` and `sae_weights.safetensors`."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor

from un_lightning.config import Site
from un_lightning.errors import UserError
from un_lightning.models.sparse.encoder import Encoding, Norm, Rule, SparseEncoder
from un_lightning.models.sparse.place import place_of_hook
from un_lightning.models.sparse.settings import Settings, tensor


CONFIG, WEIGHTS = "cfg.json", "sae_weights.safetensors"
_ARCHITECTURES = {
    "standard": Rule.relu,
    "gated": Rule.gated,
    "jumprelu": Rule.jump,
    "topk": Rule.topk,
    "transcoder": Rule.relu,
    "skip_transcoder": Rule.relu,
    "jumprelu_transcoder": Rule.jump,
    "jumprelu_skip_transcoder": Rule.jump,
}
"""Top-k by batch is saved as jumprelu with its threshold; what a transcoder decodes into does not matter."""
_FUNCTIONS = {"relu": Rule.relu, "tanh-relu": Rule.tanh_relu, "topk": Rule.topk}
_NORMS = ("none", "layer_norm", "constant_norm_rescale")
_OLD_NAMES = {
    "hook_point": "hook_name",
    "hook_point_layer": "hook_layer",
    "hook_point_head_index": "hook_head_index",
    "activation_fn": "activation_fn_str",
    "uses_scaling_factor": "finetuning_scaling_factor",
    "meta": "metadata",
}
_SILENT = frozenset((
    "d_in", "d_sae", "d_out", "d_head", "dtype", "device", "model_name", "model_class_name",
    "model_kwargs", "hook_layer", "hook_name_out", "hook_layer_out", "hook_head_index_out",
    "sae_lens_training_version", "sae_lens_version", "prepend_bos", "exclude_special_tokens",
    "dataset_path", "dataset_trust_remote_code", "context_size", "neuronpedia_id", "seqpos_slice",
    "streaming", "is_dataset_tokenized", "noise_scale", "l1_coefficient", "lp_norm", "use_ghost_grads",
    "normalize_sae_decoder", "decoder_orthogonal_init", "mse_loss_normalization",
    "jumprelu_init_threshold", "jumprelu_bandwidth", "jumprelu_sparsity_loss_mode",
    "jumprelu_tanh_scale", "decoder_heuristic_init", "decoder_heuristic_init_norm", "decoder_init_norm",
    "init_encoder_as_decoder_transpose", "scale_sparsity_penalty_by_decoder_norm", "l0_lambda",
    "l0_coefficient", "l1_warm_up_steps", "l0_warm_up_steps", "l1_loss_wd_norm", "aux_loss_coefficient",
    "topk_threshold_lr", "pre_act_loss_lambda", "use_sparse_activations", "matryoshka_widths",
    "expansion_factor", "seed", "training_tokens", "from_pretrained_path", "model_batch_size",
    "n_batches_in_buffer", "store_batch_size_prompts", "disable_concat_sequences",
    "sequence_separator_token", "hf_hook_name", "act_store_device",
))  # fmt: skip
"""How it was trained, on what and where."""
_SILENT_OF_MODEL = frozenset((
    "fold_ln", "center_unembed", "refactor_factored_attn_matrices", "device", "device_map", "n_devices",
    "dtype", "torch_dtype", "trust_remote_code", "local_files_only", "default_padding_side",
    "default_prepend_bos", "move_to_device", "hf_model", "tokenizer",
))  # fmt: skip
"""How the model was loaded, where that changes nothing at the places that are read."""


def read_saelens(name: str, values: Mapping[str, Any], weights: Mapping[str, Tensor]) -> SparseEncoder:
    """An encoder from what its files hold.

    Args:
        name: What error messages call it.
        values: Of `cfg.json`.
        weights: The tensors.

    Raises:
        UserError: A setting is not known, or a tensor is missing.
    """
    values = {_OLD_NAMES.get(key, key): value for key, value in values.items()}
    settings = Settings(name, values, _SILENT)
    about = Settings(name, values | (settings.take("metadata") or {}), {*_SILENT, *values})
    if about.take("hook_head_index") is not None:
        raise UserError(f"{name} was trained on one head (hook_head_index); known are whole layers")
    settings.take("hook_head_index")
    settings.take("hook_name")
    settings.take("model_from_pretrained_kwargs")
    settings.choose("reshape_activations", "none", ("none", "hook_z"))
    hook = str(about.take("hook_name"))
    place = place_of_hook(name, hook)
    model = Settings(name, about.take("model_from_pretrained_kwargs") or {}, _SILENT_OF_MODEL)
    centres = bool(model.take("center_writing_weights"))
    if model.take("fold_value_biases") and place.site is Site.attn_z:
        raise UserError(
            f"{name} was trained on heads without value biases (fold_value_biases), which are not read here"
        )
    model.refuse_rest()
    about.refuse_rest()
    encoding = _encoding(name, settings, weights)
    if settings.take("normalize_activations") == "expected_average_only_in":
        raise UserError(f"{name} has inputs normalised by 'expected_average_only_in': fold it first")
    norm = Norm(settings.choose("normalize_activations", "none", _NORMS))
    if hook.endswith("ln2.hook_normalized"):
        if norm is not Norm.none:
            raise UserError(f"{name} normalises by {norm} what the model's norm has normalised already")
        norm = Norm.model_norm
    settings.refuse_rest()
    inside = place.site in (Site.mlp_post, Site.mlp_pre, Site.attn_z)  # not on the residual stream
    return SparseEncoder(name, replace(encoding, norm=norm, centred=centres and not inside), place)


def _encoding(name: str, settings: Settings, weights: Mapping[str, Tensor]) -> Encoding:
    architecture = settings.choose("architecture", "standard", _ARCHITECTURES)
    rule = _ARCHITECTURES[architecture]
    function = _FUNCTIONS[settings.choose("activation_fn_str", "relu", _FUNCTIONS)]
    kwargs = Settings(name, settings.take("activation_fn_kwargs") or {}, ())
    k = settings.take("k")
    k = kwargs.take("k") if k is None else k
    kwargs.refuse_rest()
    if function is not Rule.relu:
        if rule is not Rule.relu and rule is not function:
            raise UserError(
                f"{name} is '{architecture}' but has the function {function}: they exclude each other"
            )
        rule = function
    if rule is Rule.topk and k is None:
        raise UserError(f"{name} keeps the k largest latents, but names no k")
    weight = tensor(name, weights, "W_enc")
    centre = None
    if settings.take("apply_b_dec_to_input", True) and not architecture.endswith("transcoder"):
        centre = tensor(name, weights, "b_dec")
    after = before = None
    if settings.take("finetuning_scaling_factor"):
        after = tensor(name, weights, "scaling_factor")
    if settings.take("rescale_acts_by_decoder_norm"):
        if rule is not Rule.topk:
            raise UserError(f"{name} rescales by decoder norms, which is known for topk alone")
        before = tensor(name, weights, "W_dec").norm(dim=-1)
    if rule is Rule.gated:
        magnitude = tensor(name, weights, "r_mag"), tensor(name, weights, "b_mag")
        return Encoding(
            weight, tensor(name, weights, "b_gate"), rule, centre, magnitude=magnitude, after=after
        )
    threshold = tensor(name, weights, "threshold") if rule is Rule.jump else None
    return Encoding(
        weight, tensor(name, weights, "b_enc"), rule, centre, threshold,
        before=before, after=after, k=int(k) if rule is Rule.topk and k is not None else 0,
    )  # fmt: skip
