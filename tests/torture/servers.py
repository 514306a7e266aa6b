"""The servers' process: reads names of rows, answers with their URLs, stays until told."""

import asyncio
import json
import logging
import sys
import warnings
from pathlib import Path

from tests.torture.stage import Stage
from tests.torture.table import TABLE


async def main(folder: Path) -> None:
    """Serve the rows that a line on standard input names, until it is closed."""
    wanted = set(json.loads(sys.stdin.readline()))
    async with Stage(folder) as stage:
        urls = {case.key: await case.setup(stage) for case in TABLE if case.key in wanted}
        print(json.dumps({"urls": urls, "names": await stage.nameserver()}), flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    # What servers have to speak here is deprecated, which is why it is here.
    warnings.simplefilter("ignore", DeprecationWarning)
    # Nor is it news that a client goes away while it is written to.
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    asyncio.run(main(Path(sys.argv[1])))
