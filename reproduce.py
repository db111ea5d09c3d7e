"""Run the report's experiments over seeds and judge its claims: `python reproduce.py --help`."""

if __name__ == "__main__":
    import signal

    # Ctrl-C during the imports ends the process without a traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)

    from stock_rnn.cli.reproduce import main

    raise SystemExit(main())
