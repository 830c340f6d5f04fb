"""How good models are on real logs, against rivals measured in the same run, and on a log of known truth.

python -m benchmarks.quality --data movies|taobao|grocery|shop [--quick]
"""

import argparse
import logging
from collections.abc import Callable, Sequence

from benchmarks import quality_grocery, quality_movies, quality_shop, quality_taobao

COMPARISONS: dict[str, Callable[[bool], None]] = {
    "movies": quality_movies.compare,
    "taobao": quality_taobao.compare,
    "grocery": quality_grocery.compare,
    "shop": quality_shop.compare,
}


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True, choices=COMPARISONS)
    parser.add_argument("--json", action="store_true", help="the default: one line of JSON per figure")
    parser.add_argument(
        "--quick", action="store_true", help="a part of the data and one setting, to see that it runs"
    )
    arguments = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    COMPARISONS[arguments.data](arguments.quick)


if __name__ == "__main__":
    main()
