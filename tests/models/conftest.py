"""Tiny models, tokenizers and families."""

import os


os.environ.setdefault("HF_HUB_OFFLINE", "1")

import pytest  # noqa: E402
import torch  # noqa: E402
from tokenizers import Tokenizer, pre_tokenizers, trainers  # noqa: E402
from tokenizers.models import BPE  # noqa: E402
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast  # noqa: E402

from un_lightning.config import MemberConfig, ModelsConfig, ModelSource  # noqa: E402


VOCABULARY = 320
ENDS = {"vocab_size": VOCABULARY, "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}
SIZES = {
    **ENDS,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "max_position_embeddings": 40,
}
ARCHITECTURES = {
    "gpt2": {"model_type": "gpt2", **ENDS, "n_embd": 32, "n_layer": 3, "n_head": 2, "n_positions": 40},
    "neox_parallel": {"model_type": "gpt_neox", **SIZES, "use_parallel_residual": True},
    "neox_sequential": {"model_type": "gpt_neox", **SIZES, "use_parallel_residual": False},
    "llama": {"model_type": "llama", **SIZES, "num_key_value_heads": 1},
    "gemma2": {"model_type": "gemma2", **SIZES, "num_key_value_heads": 1, "head_dim": 16},
    "phi3": {"model_type": "phi3", **SIZES},
    "bloom": {"model_type": "bloom", **ENDS, "hidden_size": 32, "n_layer": 3, "n_head": 2},
    "mixtral": {"model_type": "mixtral", **SIZES, "num_local_experts": 2},
    "opt": {
        "model_type": "opt",
        **ENDS,
        "hidden_size": 32,
        "ffn_dim": 48,
        "word_embed_proj_dim": 32,
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
        "max_position_embeddings": 40,
    },
}


@pytest.fixture
def architectures():
    return ARCHITECTURES


@pytest.fixture
def build_model():
    """Build a plain model of transformers with weights wide enough that every site differs from noise."""

    def build(kind, seed=0, **changes):
        settings = {**ARCHITECTURES[kind], **changes}
        config = AutoConfig.for_model(settings.pop("model_type"), **settings)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = AutoModelForCausalLM.from_config(config)
            for weight in model.parameters():
                weight.data.add_(0.1 * torch.randn_like(weight))
        return model.eval()

    return build


@pytest.fixture
def tokens():
    return torch.randint(0, VOCABULARY, (2, 7), generator=torch.Generator().manual_seed(1))


@pytest.fixture
def family_config():
    """Write the config of a family from its members' paths by name."""

    def write(source, members, **settings):
        configs = [MemberConfig(name=name, path=path) for name, path in members.items()]
        reference = settings.pop("reference", configs[0].name)
        return ModelsConfig(
            family="tiny", source=ModelSource(source), members=configs, reference=reference, **settings
        )

    return write


@pytest.fixture
def train_tokenizer():
    """Train a byte-level BPE on a text."""

    def train(text, size=VOCABULARY):
        bpe = Tokenizer(BPE())
        bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        end = "<|endoftext|>"
        trainer = trainers.BpeTrainer(
            vocab_size=size, special_tokens=[end], initial_alphabet=alphabet, show_progress=False
        )
        bpe.train_from_iterator([text], trainer)
        return PreTrainedTokenizerFast(tokenizer_object=bpe, bos_token=end, eos_token=end)

    return train
