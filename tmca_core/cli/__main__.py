"""``python -m tmca_core.cli``, for launchers such as torchrun that start a module."""

from tmca_core.cli import main

main()
