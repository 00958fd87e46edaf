"""Progress of long loops: with tqdm, without it, and none unless asked for."""

import sys
import types

from linalg_cases import factor_of, positive_definite

from infwidth._runtime.progress import progress


def hide_tqdm(monkeypatch):
    for name in ("tqdm", "tqdm.auto"):
        monkeypatch.setitem(sys.modules, name, None)  # importing it raises ImportError


def test_progress_with_tqdm(monkeypatch):
    seen = []
    tqdm = types.ModuleType("tqdm.auto")
    tqdm.tqdm = lambda items, desc: (seen.append((desc, item)) or item for item in items)
    monkeypatch.setitem(sys.modules, "tqdm", types.ModuleType("tqdm"))
    monkeypatch.setitem(sys.modules, "tqdm.auto", tqdm)
    factor_of(positive_definite(30), tile=10, verbose=True)
    assert seen == [("Cholesky factorisation", k) for k in range(3)]


def test_progress_without_tqdm(monkeypatch, capsys):
    hide_tqdm(monkeypatch)
    factor_of(positive_definite(30), tile=10, verbose=True)
    captured = capsys.readouterr()
    lines = captured.err.splitlines()
    assert [line.split(",")[0] for line in lines] == [f"Cholesky factorisation: {k}/3" for k in (1, 2, 3)]
    assert captured.out == ""


def test_progress_is_silent_unless_asked_for(monkeypatch, capsys):
    hide_tqdm(monkeypatch)
    factor_of(positive_definite(30), tile=10)
    assert capsys.readouterr() == ("", "")


def test_progress_of_an_empty_loop(monkeypatch):
    hide_tqdm(monkeypatch)
    assert list(progress([], "nothing", enabled=True)) == []
    assert list(progress(range(3), "something", enabled=True)) == [0, 1, 2]
