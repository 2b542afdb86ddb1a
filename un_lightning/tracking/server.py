"""Whether W&B's server would take a run: credentials and network, asked in seconds and before models load."""

import os
from netrc import NetrcParseError, netrc
from pathlib import Path
from urllib.parse import urlsplit


SECONDS = 4.0
"""How long a server may take to accept a connection, and again to answer."""


def server_address() -> str:
    """The server that W&B would use."""
    import wandb

    return os.environ.get("WANDB_BASE_URL") or wandb.setup().settings.base_url


def logged_in() -> bool:
    """Whether W&B would find credentials, looked up where W&B looks and without asking the server."""
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    import wandb

    server = server_address()
    hosts = {urlsplit(server).netloc}
    if server == wandb.Settings().base_url:
        hosts.add("api.wandb.ai")  # who logged in before the public server moved
    files = [os.environ["NETRC"]] if os.environ.get("NETRC") else ["~/.netrc", "~/_netrc"]
    for file in files:
        try:
            logins = netrc(Path(file).expanduser()).hosts
        except (OSError, NetrcParseError):
            continue
        if any(host in logins and logins[host][2] for host in hosts):
            return True
    return False


def why_unreachable() -> str | None:
    """Why the server does not answer, in a few words; None where it does, whatever its answer.

    W&B itself tries for about two minutes, which a node without a network would wait in vain.
    """
    import requests  # comes with wandb, and knows proxies as it does

    server = server_address()
    try:
        requests.head(server, timeout=(SECONDS, SECONDS), allow_redirects=False)
    except requests.exceptions.Timeout:
        return f"{server} does not answer within {SECONDS:.0f} seconds"
    except (requests.exceptions.RequestException, ValueError) as error:
        return f"{server} cannot be reached ({type(error).__name__})"
    return None
