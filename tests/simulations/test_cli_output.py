"""What the command line prints: on terminals of any width, to pipes, and whatever the user typed."""

import ast
import re
from pathlib import Path

import pytest
from commands import FEW, on_terminal
from conftest import Command
from rich.table import Table

from simulations.reports.tables import fitted


class TestMarkup:
    """Nothing that a user typed, and nothing in a file, is read as Rich's markup."""

    def test_consoles_are_made_in_one_place(self) -> None:
        makers = set()
        for path in sorted((Path(__file__).parents[2] / "simulations").rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                names = {alias.name for alias in node.names} if isinstance(node, ast.ImportFrom) else set()
                if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "rich":
                    makers |= {path.name} if names & {"Console", "print", "get_console", "escape"} else set()
                if isinstance(node, ast.Attribute):
                    assert node.attr != "from_markup", path
                if isinstance(node, ast.Call) and ast.unparse(node.func) == "TextColumn":
                    assert "markup=False" in ast.unparse(node), path
        assert makers == {"terminal.py"}

    @pytest.mark.parametrize(
        "words",
        [
            ("run", "[/x]"),
            ("run", "[/x].yaml"),
            ("run", "in[/x].yaml"),
            ("run", "purchase", "--set", "[/x]"),
            ("run", "purchase", "--set", "buyer.[/x]=1"),
            ("run", "purchase", "--set", "sellers.album.folder='[/x]'"),
            ("run", "purchase", "--set", "grid='[/x]'"),
            ("run", "purchase", "--out", "there[/x]"),
            ("run", "purchase", "--adversaries", "[/x].py"),
            ("run", "purchase", "--adversaries", "in[/x].py"),
            ("run", "purchase", "--workers", "[/x]"),
            ("flower", "[/x]"),
            ("bench", "[/x]"),
            ("reproduce", "[/x]"),
            ("list", "[/x]"),
            ("schema", "[/x]"),
            ("init", "[/x].txt"),
            ("calibrate", "--images", "[/x]"),
            ("survey", "score", "[/x]", "[/x]"),
            ("status", "--kit", "[/x]"),
            ("seller", "--kit", "[/x]", "--album", "[/x]"),
            ("provision", "--cloud", "[/x]:port"),
            ("provision", "add", "[/x]"),
            ("[/x]",),
        ],
        ids=" ".join,
    )
    def test_what_is_typed_is_told_as_it_is(self, parley: Command, tmp_path: Path, words: tuple[str, ...]) -> None:
        (tmp_path / "in[").mkdir()
        (tmp_path / "in[" / "x].yaml").write_text("sellers: x\n")
        (tmp_path / "in[" / "x].py").write_text("x = 1\n")
        (tmp_path / "there[" / "x]").mkdir(parents=True)
        done = parley(*words)
        assert done.returncode in (2, 3, 4, 5, 9)
        assert "[/x]" in done.stderr.replace("\n", "")

    def test_paths_and_names_in_results_are_told_as_they_are(self, parley: Command, tmp_path: Path) -> None:
        done = parley("run", "purchase", *FEW, "--out", "run[eps=8]")
        assert done.stdout.endswith("\nReport: run[eps=8]/report.html\n")
        (tmp_path / "mine.yaml").write_text("expect:\n  outcome.bids: '< 0'\n")
        done = parley("run", "mine.yaml", *FEW, "--out", "run[/eps]")
        assert "The report is run[/eps]/report.html." in done.stderr


class TestTables:
    def table(self) -> Table:
        table = Table("entity", "own decider", "note", title="Pool")
        table.add_row("entity-17", "83.6 %", "its features were contradicted by the labels of two others")
        table.add_row("entity-18", "90.1 %", "")
        return table

    def shown(self, width: int) -> list[str]:
        from simulations.cli.terminal import console  # noqa: PLC0415

        screen = console()
        screen.width = width
        with screen.capture() as captured:
            screen.print(fitted(self.table(), width))
        return captured.get().splitlines()

    @pytest.mark.parametrize("width", [200, 80, 60, 45])
    def test_columns_wrap_between_words(self, width: int) -> None:
        lines = self.shown(width)
        assert max(map(len, lines)) <= width
        assert any("entity-17" in line and "83.6 %" in line for line in lines)
        words = " ".join(line.split("│")[-2].strip() for line in lines if line.startswith("│")).split()
        assert words == ["its", "features", "were", "contradicted", "by", "the", "labels", "of", "two", "others"]

    def test_rows_become_lines_where_columns_do_not_fit(self) -> None:
        assert self.shown(30)[:4] == ["Pool", "", "entity: entity-17", "own decider: 83.6 %"]
        assert "contradicted" in " ".join(self.shown(30))

    def test_a_pipe_gets_tabs(self, parley: Command) -> None:
        lines = parley("run", "purchase", *FEW).stdout.splitlines()
        assert lines[0] == "purchase, seed 7"
        assert "sellers called\t8" in lines


def test_progress_is_a_line_per_step_where_there_is_no_terminal(parley: Command) -> None:
    done = parley("run", "purchase", *FEW)
    lines = done.stderr.splitlines()
    assert len(lines) == len(set(lines)) == 14
    assert re.fullmatch(r"\d+:\d\d building the world", lines[0])
    assert re.fullmatch(r"\d+:\d\d step 10 of 12: verification, \d+:\d\d left", lines[10])


def test_progress_is_a_bar_on_a_terminal(tmp_path: Path) -> None:
    said = on_terminal("run", "purchase", *FEW, columns=60, cwd=tmp_path)
    frames = [frame for frame in said.split("\r") if "step 12 of 12" in frame]
    assert frames
    assert max(map(len, frames)) <= 60
    assert "Report: runs/" in said.splitlines()[-1]
