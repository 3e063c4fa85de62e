"""``python -m tuun_da``: the same as ``tuun-da``."""

import sys

from tuun_da.cli import main

if __name__ == "__main__":
    sys.exit(main())
