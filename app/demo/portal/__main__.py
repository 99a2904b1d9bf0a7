"""`python -m app.demo.portal`: the stand-in as a process of its own, until it is told to stop."""

import argparse
import asyncio
import json
import signal
import sys

from app.demo.portal.serve import running_portal


async def _run(options: argparse.Namespace) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with running_portal(
        options.slow_s, sp_port=options.sp_port, idp_port=options.idp_port, token=options.token
    ) as portal:
        ready = {
            "sp_url": portal.sp_url,
            "idp_url": portal.idp_url,
            "idp_host": portal.idp_host,
            "trap_url": portal.trap_url,
            "control_token": portal.control_token,
        }
        sys.stdout.write(json.dumps(ready) + "\n")
        sys.stdout.flush()
        await stop.wait()


def main() -> None:
    """Read the options, serve, print one JSON line when ready."""
    parser = argparse.ArgumentParser(prog="python -m app.demo.portal", description=__doc__)
    parser.add_argument("--sp-port", type=int, default=0, help="0 takes a free port")
    parser.add_argument("--idp-port", type=int, default=0, help="0 takes a free port")
    parser.add_argument("--token", default="", help="control token; made up when empty")
    parser.add_argument("--slow-s", type=float, default=0, help="delay of every answer in seconds")
    asyncio.run(_run(parser.parse_args()))


if __name__ == "__main__":
    main()
