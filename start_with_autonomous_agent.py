"""Start foreact in this folder, its API on port 5003: `foreact up` under the name that the interface gives it."""

import sys

from cli.app import main

if __name__ == "__main__":
    sys.argv[1:] = ["up", *sys.argv[1:]]
    main()
