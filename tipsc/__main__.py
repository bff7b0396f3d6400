"""``python -m tipsc`` is ``tipsc``."""

from tipsc.cli import main

if __name__ == "__main__":
    main()
