"""`python -m millstream.cli`, as `millstream up` starts its roles."""

from .main import main

main()
