"""`python -m stock_rnn COMMAND`: the same as the console script `stock-rnn COMMAND`."""

from stock_rnn.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main(program="python -m stock_rnn"))
