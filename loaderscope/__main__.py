"""`python -m loaderscope`."""

import sys

from loaderscope.cli import main

if __name__ == "__main__":
    sys.exit(main())
