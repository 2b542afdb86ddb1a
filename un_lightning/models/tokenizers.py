"""Tokenizers, and whether two of them are the same."""

import hashlib
import json

from transformers import AutoTokenizer, PreTrainedTokenizerBase

from un_lightning.errors import UserError
from un_lightning.models.paths import resolve_path
from un_lightning.models.quiet import quiet_transformers


# Same vocabularies can still cut text differently: runs of spaces, digits, letters that NFKC would change.
_PROBE = (
    'def f(x_1, *args):\n\treturn x_1**2 + 3.14159  # naïve "quote"\n'
    "    1234567890 12,345 0x7F\r\n\n\nDon't STOP—été Straße ﬁn ½ e\u0301  <tag a='b'/>  "
    "你好 Привет שלום \U0001f469\u200d\U0001f467"
)


def load_tokenizer(
    path: str, revision: str | None = None, allow_remote_code: bool = False
) -> PreTrainedTokenizerBase:
    """Load a tokenizer.

    Args:
        path: Hub id, folder, or `bundled:` folder.
        revision: Branch, tag or commit on the hub.
        allow_remote_code: Run tokenizer code that comes with it.

    Raises:
        UserError: There is no tokenizer, or it cannot be read.
    """
    try:
        with quiet_transformers():
            tokenizer = AutoTokenizer.from_pretrained(
                resolve_path(path), revision=revision or "main", trust_remote_code=allow_remote_code
            )
    except (OSError, ValueError, KeyError) as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise UserError(
            f"no tokenizer loads from '{path}' ({reason}); set models.tokenizer to a hub id or folder "
            f"that has one"
        ) from error
    # A folder with nothing but a model gives an empty tokenizer and no error.
    if not tokenizer.vocab_size:
        raise UserError(
            f"'{path}' holds no tokenizer; set models.tokenizer to a hub id or folder that has one"
        )
    return tokenizer


def tokenizer_fingerprint(tokenizer: PreTrainedTokenizerBase) -> str:
    """Hash a tokenizer: equal hashes mean the same vocabulary and the same ids for a probing text.

    Args:
        tokenizer: The tokenizer.

    Returns:
        SHA-256 in hexadecimal digits.
    """
    ids = tokenizer(_PROBE, add_special_tokens=False, verbose=False)["input_ids"]
    content = json.dumps([sorted(tokenizer.get_vocab().items()), ids])
    return hashlib.sha256(content.encode()).hexdigest()
