"""Which source a config asks for."""

from un_lightning.config import DataConfig, DataSource
from un_lightning.data.documents import Source
from un_lightning.data.files import Files
from un_lightning.data.hub import Hub
from un_lightning.data.local_text import LocalText
from un_lightning.data.sample_text import SampleText


def open_source(config: DataConfig) -> Source:
    """The documents that `data` names; nothing is read yet.

    Raises:
        UserError: No file matches `data.path`.
    """
    if config.source is DataSource.files:
        return Files(config)
    if config.source is DataSource.hub:
        return Hub(config)
    if config.source is DataSource.sample:
        return SampleText(config)
    if config.source is DataSource.local:
        return LocalText(config)
    raise ValueError("a store holds blocks, not documents")
