"""One frozen model, run for what passes at its sites."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack, suppress
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from un_lightning.config import Site
from un_lightning.errors import UserError
from un_lightning.models.side import Side
from un_lightning.models.sites import Point, find_points
from un_lightning.models.sparse.encoder import SparseEncoder
from un_lightning.models.sparse.points import encoder_point
from un_lightning.models.units import Units
from un_lightning.models.weights import ModelWeights, read_weights


Sink = Callable[[int, Float[Tensor, "batch position units"]], None]
"""Takes a layer's index and its activation, which is valid during the call only."""


class _AllRead(Exception):  # noqa: N818 (it is no error)
    """Ends a forward at the last activation that a sink wants."""


class FrozenModel(nn.Module):
    """A model in evaluation mode and without gradients, whose activations go to sinks.

    The Hugging Face model itself runs, with its own attention, and plain hooks on the modules that the sites
    resolve to.
    """

    def __init__(
        self,
        name: str,
        module: nn.Module,
        glob: str | None = None,
        encoders: Iterable[SparseEncoder] = (),
    ) -> None:
        """Freeze a module.

        Args:
            name: What tables, figures and messages call the model.
            module: A causal language model of transformers, or any module of tokens [batch, position].
            glob: Pattern over the module's names whose outputs are the units of `Site.units`.
            encoders: Sparse autoencoders whose latents are the units of `Site.latents`.
        """
        from transformers import PreTrainedModel

        super().__init__()
        self.name = name
        self.module = module.requires_grad_(False)
        self.encoders = nn.ModuleList(encoders)
        self.eval()
        self._glob = glob
        self._is_hugging_face = isinstance(module, PreTrainedModel)
        self._points: dict[Site, list[Point]] = {}
        self._units: dict[Site, Units] = {}
        self._seen: set[Site] = set()
        """Sites that were read in a whole forward, in which a module that runs twice would have shown it."""

    def train(self, mode: bool = True) -> "FrozenModel":  # noqa: ARG002
        """Stay in evaluation mode, whatever mode the owner changes to."""
        return super().train(False)

    @property
    def vocabulary(self) -> int | None:
        """Rows of the input embedding; None where a loader's module does not say."""
        if not self._is_hugging_face:
            return None
        model: Any = self.module
        return int(model.get_input_embeddings().weight.shape[0])

    @property
    def context(self) -> int | None:
        """Longest input in tokens; None where the model names no limit."""
        if not self._is_hugging_face:
            return None
        model: Any = self.module
        config = model.config.get_text_config()
        lengths = (getattr(config, key, None) for key in ("max_position_embeddings", "max_seq_len"))
        return next((int(length) for length in lengths if length), None)

    def points(self, site: Site) -> list[Point]:
        """Module and side of a site in each layer, found once.

        Args:
            site: The site.

        Raises:
            UserError: The model has no such site.
        """
        if site not in self._points:
            found = self._latents() if site is Site.latents else None
            self._points[site] = found or find_points(self.name, self.module, site, self._glob)
        return self._points[site]

    def _latents(self) -> list[Point]:
        """Where the inputs of each encoder pass."""
        if not self.encoders:
            raise UserError(
                f"analysis.site=latents needs sparse autoencoders, but model '{self.name}' has none: name "
                "their folders in models.members by encoders=[…]"
            )
        encoders = [encoder for encoder in self.encoders if isinstance(encoder, SparseEncoder)]
        return [encoder_point(self.name, self.module, encoder, self.points) for encoder in encoders]

    def units(self, site: Site) -> Units:
        """Units of the model at a site.

        Widths come from the weights where they tell, otherwise from one forward of a single token.

        Args:
            site: The site.

        Raises:
            UserError: The model has no such site, or what passes there is not [batch, position, unit].
        """
        if site not in self._units:
            widths = [point.width for point in self.points(site)]
            if None in widths:
                token = torch.zeros(1, 1, dtype=torch.long, device=self._device())
                widths = [activation.shape[2] for activation in self.capture(token, site)]
            self._units[site] = Units(self.name, site, tuple(width for width in widths if width is not None))
        return self._units[site]

    @torch.no_grad()
    def run(self, tokens: Int[Tensor, "batch position"], sinks: Mapping[Site, Sink]) -> None:
        """Run the trunk once and hand every layer's activation to the sink of its site.

        The unembedding does not run, nor, from a site's second forward on, what follows the last activation.
        Nothing is kept. A sink is called from inside the forward, once a layer, with the layer's index and
        its activation [batch, position, units]; the model may overwrite the activation later, so a sink that
        keeps it must copy it.

        Args:
            tokens: Token ids on the model's device.
            sinks: A sink for each site to read.

        Raises:
            UserError: The model has no such site, what passes there is not [batch, position, unit], or it
                passes never or more than once in a forward.
        """
        waiting: set[tuple[Site, int]] = set()
        stop = self._seen.issuperset(sinks)
        with ExitStack() as stack, suppress(_AllRead):
            for site, sink in sinks.items():
                for layer, point in enumerate(self.points(site)):
                    waiting.add((site, layer))
                    handle = self._attach(point, site, layer, sink, waiting, tokens.shape, stop)
                    stack.callback(handle.remove)
            self.trunk(tokens)
        if waiting:
            site, layer = min(waiting)
            raise UserError(
                f"module '{self.points(site)[layer].path}' of model '{self.name}' does not run in a forward "
                f"of the trunk, so its units cannot be read; choose other modules by models.units"
            )
        self._seen.update(sinks)

    def capture(
        self, tokens: Int[Tensor, "batch position"], site: Site
    ) -> list[Float[Tensor, "batch position _"]]:
        """Copy every layer's activation of one site.

        Args:
            tokens: Token ids on the model's device.
            site: The site.

        Returns:
            One tensor [batch, position, units] a layer.

        Raises:
            UserError: As for `run`.
        """
        copies: dict[int, Tensor] = {}

        def keep(layer: int, activation: Tensor) -> None:
            copies[layer] = activation.clone()

        self.run(tokens, {site: keep})
        return [copies[layer] for layer in range(len(copies))]

    def weights(self, processed: bool = True) -> ModelWeights:
        """Read the model's weights, anew at each call: keep what is needed twice.

        Args:
            processed: Fold layer norms and centre, as published weight statistics are (`models.weights`).

        Raises:
            UserError: The architecture is unknown, or has no dense MLPs.
        """
        return read_weights(self.name, self.module, processed)

    @torch.no_grad()
    def trunk(self, tokens: Int[Tensor, "batch position"]) -> None:
        """Run everything below the unembedding, for what hooks see of it."""
        if self._is_hugging_face:
            trunk: Any = self.module.base_model
            trunk(input_ids=tokens, use_cache=False)
        else:
            self.module(tokens)

    def _attach(
        self,
        point: Point,
        site: Site,
        layer: int,
        sink: Sink,
        waiting: set[tuple[Site, int]],
        shape: torch.Size,
        stop: bool,
    ) -> RemovableHandle:
        def observe(value: Any) -> None:
            if (site, layer) not in waiting:
                raise UserError(
                    f"module '{point.path}' of model '{self.name}' runs more than once in a forward, so its "
                    f"units have no single activation a token; choose other modules by models.units"
                )
            waiting.remove((site, layer))
            sink(layer, self.activation(value, point, shape))
            if stop and not waiting:
                raise _AllRead

        if point.side is Side.output:
            return point.module.register_forward_hook(lambda _module, _args, output: observe(output))
        return point.module.register_forward_pre_hook(
            lambda _module, args, kwargs: observe((*args, *kwargs.values())[0]), with_kwargs=True
        )

    def activation(self, value: Any, point: Point, shape: torch.Size) -> Float[Tensor, "batch position _"]:
        """What passes at a point, as the model's modules hand it over, in the shape that units have.

        Args:
            value: The module's input or output.
            point: Where it passes.
            shape: Batch and positions of the tokens that run.

        Raises:
            UserError: It cannot be brought into the shape [batch, position, unit].
        """
        if isinstance(value, (tuple, list)) and value:
            value = value[0]
        if isinstance(value, Tensor) and value.ndim == 2 and len(value) == shape.numel():
            value = value.unflatten(0, shape)  # OPT's MLP works on [batch · position, unit]
        if not isinstance(value, Tensor) or value.ndim != 3 or value.shape[:2] != shape:
            what = list(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise UserError(
                f"the {point.side} of module '{point.path}' of model '{self.name}' is {what} for tokens "
                f"{list(shape)}, but units need [batch, position, unit]"
            )
        return value if point.encoder is None else point.encoder(value)

    def _device(self) -> torch.device:
        return next((parameter.device for parameter in self.parameters()), torch.device("cpu"))
