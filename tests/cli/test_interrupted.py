"""What commands that go on where they stopped say after Ctrl-C, in this process."""

import pytest

from stock_rnn.cli.main import main


@pytest.mark.parametrize("command", ["reproduce", "explain"])
def test_ctrl_c_ends_in_a_line_that_says_how_to_go_on(command, tmp_path, monkeypatch, capsys):
    def stopped(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("stock_rnn.data.one_stock", stopped)
    assert main([command]) == 130
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        f"stock-rnn {command}: interrupted; the same command goes on where it stopped"
    ]
    assert list(tmp_path.iterdir()) == []
