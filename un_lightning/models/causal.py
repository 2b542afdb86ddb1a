"""Whether a model reads from left to right, which is tried, not looked up."""

import torch

from un_lightning.config import Site
from un_lightning.errors import UserError
from un_lightning.models.frozen import FrozenModel


@torch.no_grad()
def reads_ahead(model: FrozenModel) -> bool:
    """Whether what a model computes at a token depends on a later one, as in a bidirectional encoder.

    Args:
        model: Of transformers; of any other module nothing is known, and it counts as one that does not.
    """
    if not model.vocabulary:
        return False
    device = next(model.parameters()).device
    one = torch.arange(4, device=device).remainder(model.vocabulary)[None]
    other = one.clone()
    other[0, -1] = (one[0, -1] + 1) % model.vocabulary
    first, second = (model.capture(tokens, Site.resid_post)[-1][0, 0] for tokens in (one, other))
    if not (first.isfinite().all() and second.isfinite().all()):
        return False  # an activation overflows, which is said elsewhere
    # Rounding may differ with the tokens behind, by far less than what attention to them changes.
    return not torch.allclose(first, second, rtol=1e-3, atol=1e-4)


def require_causal(model: FrozenModel, what: str) -> None:
    """Refuse a model whose activations know the next token, where it is asked whether they predict it.

    Args:
        model: The model.
        what: The analysis, as messages call it.

    Raises:
        UserError: The model reads ahead.
    """
    if reads_ahead(model):
        raise UserError(
            f"{what} asks about predictions of the next token, but model '{model.name}' reads its text in "
            "both directions, so its activations know it; correlation, activations, families and weights "
            "take it"
        )
