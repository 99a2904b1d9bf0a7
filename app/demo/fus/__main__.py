"""`python -m app.demo.fus`: the stand-in as a process of its own, until it is told to stop."""

import argparse
import asyncio
import json
import signal
import sys
from pathlib import Path

from app.demo.fus.serve import SIZE, running_fus


async def _run(options: argparse.Namespace) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with running_fus(
        port=options.port,
        token=options.token,
        folder=options.folder,
        size=options.size,
        rate=options.rate,
        generation=options.generation,
        token_ttl_s=options.token_ttl_s,
    ) as fus:
        baked = [(await fus.file(model)).filename for model in options.bake]
        ready = {
            "url": fus.url,
            "control_token": fus.control_token,
            "profile": fus.profile,
            "baked": baked,
        }
        sys.stdout.write(json.dumps(ready) + "\n")
        sys.stdout.flush()
        await stop.wait()


def main() -> None:
    """Read the options, serve, print one JSON line when ready."""
    parser = argparse.ArgumentParser(prog="python -m app.demo.fus", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 takes a free port")
    parser.add_argument("--token", default="", help="control token; made up when empty")
    parser.add_argument("--folder", type=Path, help="keeps the files; a temporary one when absent")
    parser.add_argument("--size", type=int, default=SIZE, help="bytes of a firmware's members")
    parser.add_argument("--rate", type=int, default=0, help="bytes/s per connection, 0: no limit")
    parser.add_argument("--generation", type=int, default=2, choices=range(4), help="kies keys")
    parser.add_argument("--token-ttl-s", type=float, default=3600, help="life of a download token")
    parser.add_argument(
        "--bake", action="append", default=[], metavar="MODEL", help="newest build, before ready"
    )
    asyncio.run(_run(parser.parse_args()))


if __name__ == "__main__":
    main()
