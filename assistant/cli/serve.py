"""``vivavoce serve``: the daemon."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from assistant.config import Settings

Host = Annotated[str | None, typer.Option(help="Address to listen on; beyond this machine a key is needed.")]
Port = Annotated[int | None, typer.Option(help="Port to listen on; 0 takes a free one.")]
Origin = Annotated[
    list[str] | None, typer.Option(help="A web page's origin that may connect; may be repeated.")
]
Insecure = Annotated[
    bool | None, typer.Option("--insecure", help="Listen beyond this machine without a key.")
]


def register(app: typer.Typer) -> None:
    """Add the verb to the command."""
    app.command()(serve)


def serve(
    host: Host = None,
    port: Port = None,
    tls_cert: Annotated[Path | None, typer.Option(help="Certificate (PEM); the page is then https.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="The certificate's key (PEM).")] = None,
    origin: Origin = None,
    max_sessions: Annotated[int | None, typer.Option(min=1, help="Conversations at once.")] = None,
    insecure: Insecure = None,
) -> None:
    """Start the daemon: a page to talk on, and the Realtime protocol for programs."""
    import asyncio

    from assistant.config import load

    flags = {
        "host": host,
        "port": port,
        "tls_cert": tls_cert,
        "tls_key": tls_key,
        "origins": tuple(origin) if origin else None,
        "max_sessions": max_sessions,
        "insecure": insecure,
    }
    asyncio.run(run(with_keys(load(flags={"server": flags}))))


def with_keys(settings: "Settings") -> "Settings":
    """Add the keys that ``vivavoce token create`` made."""
    from pydantic import SecretStr

    from assistant.cli.token import keys_file
    from assistant.server.keys import read_digests

    made = tuple(SecretStr(digest) for digest in read_digests(keys_file()))
    server = settings.server.model_copy(update={"tokens": (*settings.server.tokens, *made)})
    return settings.model_copy(update={"server": server})


async def run(settings: "Settings") -> None:
    """Serve until SIGTERM or SIGINT, then drain."""
    import asyncio
    import signal
    import sys

    from assistant.compose import start_engine
    from assistant.extras import require
    from assistant.server import logs
    from assistant.server.admission import check_exposure
    from assistant.server.daemon import Daemon, listen, tls_context

    logs.configure()
    # what a typing error or a broken installation breaks is tried before the weights are read
    require("webrtcvad")
    check_exposure(settings.server)
    tls_context(settings.server)
    listener = listen(settings.server)
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    engine = await asyncio.to_thread(start_engine, settings)
    try:
        daemon = Daemon(settings.server, engine, settings.model, listener=listener)
        await daemon.start()
        print(f"Viva listens on {daemon.url}", flush=True)
        print("Open it in a browser and speak. Ctrl-C stops.", file=sys.stderr)
        await stopped.wait()
        await daemon.stop()
    finally:
        engine.close()
