"""Run the report's experiments over seeds and judge its claims: `python reproduce.py --help`."""

from stock_rnn.cli.reproduce import main

if __name__ == "__main__":
    raise SystemExit(main())
