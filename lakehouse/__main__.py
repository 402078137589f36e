"""``python -m lakehouse`` is the ``lakehouse`` command."""

from .cli import main

if __name__ == "__main__":
    main()
