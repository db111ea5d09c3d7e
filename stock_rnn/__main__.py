"""`python -m stock_rnn COMMAND`: the same as the console script `stock-rnn COMMAND`."""

if __name__ == "__main__":
    import signal

    # Ctrl-C during the imports ends the process without a traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)

    from stock_rnn.cli.main import main

    raise SystemExit(main(program="python -m stock_rnn"))
