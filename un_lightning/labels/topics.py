"""Topics: lists of words that belong together, from YAML."""

from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path

import torch
import yaml

from un_lightning.errors import UserError
from un_lightning.files import reason
from un_lightning.labels.label import TokenLabels
from un_lightning.labels.whole_word import whole_word


def read_topics(path: str | None = None) -> dict[str, list[str]]:
    """Read the topics that come with the package, and those of one more file.

    Args:
        path: YAML file that maps a topic's name to a list of words; null adds none.

    Returns:
        Words of each topic, in lower case.

    Raises:
        UserError: The file cannot be read, is no such mapping, or has a topic that exists already.
    """
    own = files("un_lightning.labels").joinpath("topics.yaml").read_text(encoding="utf-8")
    topics = _parse(own, "un_lightning/labels/topics.yaml")
    if path is None:
        return topics
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"analysis.labels.topics: {path} cannot be read ({reason(error)})") from error
    except UnicodeDecodeError as error:
        raise UserError(f"analysis.labels.topics: {path} is no UTF-8 text") from error
    added = _parse(text, path)
    both = sorted(topics.keys() & added.keys())
    if both:
        raise UserError(f"{path} has topics that exist already: {', '.join(both)}; give them other names")
    return topics | added


def topic_labels(decoded: Sequence[str], topics: Mapping[str, Sequence[str]]) -> TokenLabels:
    """A label for each topic: the token is one of its words (`whole_word`), in any case.

    Args:
        decoded: Text of every token id.
        topics: Words of each topic.
    """
    matrix = torch.zeros(len(decoded), len(topics), dtype=torch.bool)
    tokens: dict[str, list[int]] = {}
    for token, text in enumerate(decoded):
        tokens.setdefault(whole_word(text), []).append(token)
    for column, topic_words in enumerate(topics.values()):
        found = [token for word in topic_words for token in tokens.get(word, [])]
        matrix[found, column] = True
    return TokenLabels([f"topic/{name}" for name in topics], ["topic"] * len(topics), matrix)


class _Loader(yaml.SafeLoader):
    """YAML in which a key that occurs twice is an error, and every word is a string (`no`, `on`, `1`)."""

    yaml_implicit_resolvers = {}

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        keys = [self.construct_object(key) for key, _ in node.value]
        twice = sorted({str(key) for key in keys if keys.count(key) > 1})
        if twice:
            raise yaml.YAMLError(f"topics occur twice: {', '.join(twice)}")
        return super().construct_mapping(node, deep)


def _parse(text: str, origin: str) -> dict[str, list[str]]:
    try:
        content = yaml.load(text, _Loader)  # noqa: S506  (a safe loader)
    except yaml.YAMLError as error:
        raise UserError(f"{origin} is no YAML of topics: {error}") from error
    if not isinstance(content, dict):
        raise UserError(f"{origin} must map names of topics to lists of words")
    topics = {}
    for name, listed in content.items():
        whole = isinstance(listed, list) and all(isinstance(word, str) for word in listed)
        if not whole or not listed or not isinstance(name, str) or not name:
            raise UserError(f"{origin}: topic {name!r} must be a list of words")
        found = [word.strip().lower() for word in listed]
        bad = [word for word in found if not word or any(map(str.isspace, word))]
        if bad:
            raise UserError(f"{origin}: topic {name!r} holds {bad[0]!r}, but a token is a single word")
        topics[name] = found
    return topics
