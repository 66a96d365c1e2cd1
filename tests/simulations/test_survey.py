"""The survey: its questions, its page in a real browser, and what becomes of answers."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
import torch
import torchvision
from browser import Tab, chromium
from typer.testing import CliRunner, Result

from protocol.errors import BadInput, OutputExists
from simulations.cli import app
from simulations.data.labelled import labelled_images
from simulations.studies.survey.ask import ask_recogniser
from simulations.studies.survey.make import make_survey
from simulations.studies.survey.questions import PARAMETERS, Key, draw_settings, make_questions
from simulations.studies.survey.scoring import Answers, read_answers, read_key, read_surveys, score_answers
from strategies.scores.privacy_scores import SCORES
from strategies.scores.recognition import Agreement


@pytest.fixture(scope="module")
def survey(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a survey with one question per technique."""
    folder = tmp_path_factory.mktemp("survey") / "made"
    make_survey(folder, "pets", None, 6, 1, each=1)
    return folder


@pytest.fixture
def key(survey: Path) -> Key:
    return read_key(survey / "key.json")


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    with chromium(tmp_path_factory.mktemp("browser")) as opened:
        yield opened


def sheet(key: Key, **answers: tuple[str, ...]) -> Answers:
    numbered = {int(number.removeprefix("q")): chosen for number, chosen in answers.items()}
    return Answers(kind="survey answers", schema_version=1, survey=key.survey, answers=numbered)


def scored(*surveys: tuple[Key, list[Answers]]) -> dict[str, Agreement]:
    return {name: each.found for name, each in score_answers(surveys).items()}


class TestQuestions:
    def test_there_are_seven_of_each_technique_with_the_papers_settings(self) -> None:
        settings = draw_settings(3)
        assert Counter(setting.technique for setting in settings) == dict.fromkeys(PARAMETERS, 7)
        for setting in settings:
            weights, strengths = PARAMETERS[setting.technique]
            assert setting.weights in weights
            assert setting.strength in strengths
        assert draw_settings(3) == settings != draw_settings(4)

    def test_the_classes_in_a_picture_differ_and_scores_are_those_of_the_images(self) -> None:
        images = labelled_images("pets", None, 1, classes=5, side=64)
        pictures, key = make_questions(images, "pets", 1, each=1, side=64)
        assert pictures.shape == (7, 64, 64, 3)
        for asked in key.questions:
            assert len(set(asked.components)) == len(asked.components) == len(asked.weights)
        album, _ = labelled_images("pets", None, 1, classes=5, side=64).choose(
            np.array([images.class_names.index(name) for asked in key.questions for name in asked.components]), "survey"
        )
        first = torch.from_numpy(album[0])[None].permute(0, 3, 1, 2)
        shown = torch.from_numpy(pictures[:1]).permute(0, 3, 1, 2)
        for name, score in SCORES.items():
            assert key.questions[0].scores[name][0] == pytest.approx(score(first, shown).item(), abs=1e-6)

    def test_two_classes_are_too_few(self) -> None:
        with pytest.raises(BadInput, match="needs three classes or more"):
            make_questions(labelled_images("pets", None, 1, classes=2), "pets", 1)


class TestPage:
    def test_the_page_gives_nothing_away(self, survey: Path, key: Key) -> None:
        page = (survey / "survey.html").read_text(encoding="utf-8")
        data = json.loads(page.split('id="data">')[1].split("</script>")[0])
        assert set(data) == {"survey", "choices", "pictures", "references"}
        assert len(data["pictures"]) == len(key.questions)
        assert all(picture.startswith("data:image/webp;base64,") for picture in data["pictures"])
        for word in ("-mix", "graft", "sigma", "dSSIM", "lambda"):
            assert word not in page
        assert "http" not in page.replace("http-equiv", "")

    def test_it_is_answered_with_the_keyboard_alone_and_saves_a_file(
        self, tab: Tab, survey: Path, key: Key, tmp_path: Path
    ) -> None:
        tab.command("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
        tab.open(survey / "survey.html", 1280, 900)
        tab.tab_to("e.id === 'begin'")
        tab.press("Enter")
        for number, asked in enumerate(key.questions, 1):
            assert tab.value("document.title") == f"Image {number} of 7"
            wanted = [""] if number == 2 else asked.components[:2]
            for name in wanted:
                tab.tab_to(f"e.type === 'checkbox' && e.value === {name!r}")
                tab.press("Space")
            tab.tab_to("e.id === 'next'")
            tab.press("Enter")
        assert tab.value("document.getElementById('open').textContent") == "All 7 images have an answer."
        tab.tab_to("e.id === 'save'")
        tab.press("Enter")
        tab.wait(lambda: bool(list(tmp_path.glob("answers-*.json"))))
        (file,) = tmp_path.glob("answers-*.json")
        saved = read_answers(file, key)
        assert saved.answers[2] == ()
        assert set(saved.answers[1]) == set(key.questions[0].components[:2])
        assert len(saved.answers) == 7

    def test_not_being_able_to_tell_excludes_the_rest_and_answers_outlive_a_reload(
        self, tab: Tab, survey: Path
    ) -> None:
        page = survey / "survey.html"
        tab.open(page, 1280, 900)
        tab.value("localStorage.clear()")
        tab.open(page, 1280, 900)
        tab.value("find('begin').click()")
        assert tab.value("find('next').disabled")
        tab.value("boxes()[0].click(), boxes()[1].click()")
        assert tab.value("answers[1].length") == 2
        tab.value("unsureBox().click()")
        assert tab.value("boxes().filter(box => box.checked).length") == 1
        assert tab.value("answers[1].length") == 0
        tab.value("boxes()[2].click()")
        assert not tab.value("unsureBox().checked")
        tab.value("boxes()[2].click()")
        assert tab.value("find('next').disabled")
        tab.value("boxes()[3].click(), find('next').click()")
        tab.open(page, 1280, 900)
        assert tab.value("find('begin').textContent") == "Go on"
        tab.value("find('begin').click()")
        assert tab.value("document.title") == "Image 2 of 7"
        tab.value("find('back').click()")
        assert tab.value("boxes().map(box => box.checked).indexOf(true)") == 3

    @pytest.mark.parametrize("width", [320, 390, 1280])
    def test_it_fits_the_screen_and_fingers(self, tab: Tab, survey: Path, width: int) -> None:
        tab.open(survey / "survey.html", width, 800, mobile=width < 1000)
        for show in ("show('start')", "ask(0)", "find('examples').open = true", "end()"):
            tab.value(show)
            assert tab.value("document.documentElement.scrollWidth") <= width
        tab.value("ask(0)")
        small = "[...document.querySelectorAll('form label, form button')].filter(e => e.offsetHeight < 44).length"
        assert tab.value(small) == 0
        assert tab.value("find('picture').naturalWidth") == 256
        assert tab.value("find('picture').offsetWidth") > 200

    @pytest.mark.parametrize("show", ["show('start')", "ask(0)", "end()"])
    def test_every_part_is_accessible(self, survey: Path, faults_of: Callable[..., list[str]], show: str) -> None:
        assert faults_of(survey / "survey.html", show) == []

    def test_everything_that_can_be_used_has_a_name(self, tab: Tab, survey: Path, key: Key) -> None:
        tab.open(survey / "survey.html", 1280, 900)
        tab.value("ask(0)")
        nodes = tab.command("Accessibility.getFullAXTree")["nodes"]
        named = [
            (node["role"]["value"], node["name"]["value"])
            for node in nodes
            if not node["ignored"] and node["role"]["value"] in ("checkbox", "button", "image", "group", "progressbar")
        ]
        assert {name for role, name in named if role == "checkbox"} == {*key.class_names, "I cannot tell"}
        assert ("image", "Obfuscated image 1") in named
        assert ("group", "What do you recognise?") in named
        assert all(name for role, name in named if role != "group")
        assert tab.value("document.activeElement.id") == "title"


class TestScoring:
    def test_people_who_see_through_weak_obfuscation_alone_agree_with_the_scores(self, key: Key) -> None:
        """A person who recognises exactly the images whose dSSIM is below .5."""
        answers = {
            f"q{number}": tuple(
                name for name, score in zip(asked.components, asked.scores["dSSIM"], strict=True) if score < 0.5
            )
            for number, asked in enumerate(key.questions, 1)
        }
        found = scored((key, [sheet(key, **answers)]))
        assert found["dSSIM"].auc == 1.0
        assert found["dSSIM"].t_acc.value >= 0.5
        assert set(found) == set(SCORES)

    def test_open_questions_do_not_count(self, key: Key) -> None:
        first = key.questions[0]
        assert len(first.components) >= 2
        found = scored((key, [sheet(key, q1=first.components[:1])]))
        assert found["MSE"].curve[-1].tolist() == [1, 1]

    def test_answers_that_decide_nothing_are_refused(self, key: Key) -> None:
        with pytest.raises(BadInput, match="0 of 0 images were recognised"):
            scored((key, [sheet(key)]))
        with pytest.raises(BadInput, match=r"0 of [23] images"):
            scored((key, [sheet(key, q1=())]))

    def test_files_that_are_no_answers_are_named(self, key: Key, tmp_path: Path) -> None:
        good = json.loads(sheet(key, q1=()).model_dump_json())
        for change, reason in (
            ({"survey": "another"}, "answers survey another"),
            ({"answers": {"9": []}}, "answers question 9, but there are 7"),
            ({"answers": {"1": ["unicorn"]}}, "has no choice 'unicorn'"),
            ({"kind": "letter"}, "is not a file of answers"),
        ):
            file = tmp_path / "answers.json"
            file.write_text(json.dumps(good | change))
            with pytest.raises(BadInput, match=reason):
                read_answers(file, key)
        with pytest.raises(BadInput, match="cannot be read"):
            read_answers(tmp_path / "missing.json", key)
        with pytest.raises(BadInput, match="is not the key of a survey"):
            read_key(file)

    def test_the_command_prints_thresholds_and_draws_curves(self, survey: Path, key: Key, tmp_path: Path) -> None:
        answers = {f"q{number}": asked.components[:1] for number, asked in enumerate(key.questions, 1)}
        file, plot = tmp_path / "answers.json", tmp_path / "roc.svg"
        file.write_text(sheet(key, **answers).model_dump_json())
        arguments = ["survey", "score", str(survey / "key.json"), str(file)]
        printed = CliRunner().invoke(app, [*arguments, "--plot", str(plot)])
        assert printed.exit_code == 0, printed.output
        assert "dHaarPSI" in printed.output
        assert "1 file of answers to 1 survey" in printed.output
        assert "<svg" in plot.read_text()
        dumped = json.loads(CliRunner().invoke(app, [*arguments, "--json"]).output)
        assert dumped["dSSIM"]["curve"][0] == [0, 0]
        low, high = dumped["dSSIM"]["intervals"]["auc"]
        assert low <= dumped["dSSIM"]["auc"] <= high
        assert dumped["dSSIM"]["images"] == sum(len(asked.components) for asked in key.questions)

    def test_several_surveys_are_pooled(self, key: Key, tmp_path: Path) -> None:
        other = key.model_copy(update={"survey": "other", "questions": key.questions[::-1]})
        files = []
        for each in (key, other):
            answers = {f"q{number}": asked.components[:1] for number, asked in enumerate(each.questions, 1)}
            for name, model in (("key", each), ("answers", sheet(each, **answers))):
                files.append(tmp_path / f"{name}-{each.survey}.json")
                files[-1].write_text(model.model_dump_json())
        surveys = read_surveys([files[3], files[0], files[1], files[2]])
        assert [(one.survey, len(sheets)) for one, sheets in surveys] == [(key.survey, 1), ("other", 1)]
        pooled, alone = scored(*surveys), scored(surveys[0])
        assert pooled["dSSIM"].auc == pytest.approx(alone["dSSIM"].auc)
        printed = CliRunner().invoke(app, ["survey", "score", *map(str, files)])
        assert "2 files of answers to 2 surveys" in printed.output
        for given, reason in (
            (files[1:2], "none of the 1 files is the key"),
            ([files[0], files[3]], "answers survey other, whose key is missing"),
            ([files[0], files[0]], "was given already"),
            (files[:3], "nobody answers survey other"),
        ):
            with pytest.raises(BadInput, match=reason):
                read_surveys(given)


def names_first_choice(picture: np.ndarray) -> list[str]:
    """A recogniser that says one thing of all pictures."""
    assert picture.shape == (256, 256, 3)
    return ["something else", "first-CHOICE"]


class _Service(BaseHTTPRequestHandler):
    said = b"[]"

    def do_POST(self) -> None:
        picture = self.rfile.read(int(self.headers["Content-Length"]))
        assert picture.startswith(b"\x89PNG")
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.said)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def service() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), _Service)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    thread.join()
    server.server_close()


class TestAsking:
    def ask(self, survey: Path, recogniser: str, out: Path, *more: str) -> Result:
        arguments = ["survey", "ask", str(survey / "survey.html"), "--recogniser", recogniser, "--out", str(out)]
        return CliRunner().invoke(app, [*arguments, *more])

    def test_a_function_answers_as_people_do(self, survey: Path, key: Key, tmp_path: Path) -> None:
        names, out = tmp_path / "names.yaml", tmp_path / "answers.json"
        names.write_text(f"{key.class_names[0]}: [first choice]\n")
        ran = self.ask(survey, f"{__name__}:names_first_choice", out, "--names", str(names))
        assert ran.exit_code == 0, ran.output
        assert "7 of 7 pictures" in ran.output
        assert set(read_answers(out, key).answers.values()) == {(key.class_names[0],)}
        again = self.ask(survey, f"{__name__}:names_first_choice", out)
        assert isinstance(again.exception, OutputExists)

    def test_so_does_a_service(self, survey: Path, key: Key, tmp_path: Path, service: str) -> None:
        _Service.said = json.dumps(["unicorn", key.class_names[1].upper()]).encode()
        assert self.ask(survey, service, tmp_path / "answers.json").exit_code == 0
        assert set(read_answers(tmp_path / "answers.json", key).answers.values()) == {(key.class_names[1],)}
        _Service.said = b"<html>"
        with pytest.raises(BadInput, match="answers with a JSON list of names, not b'<html>'"):
            ask_recogniser(survey / "survey.html", service, tmp_path / "more.json")
        assert not (tmp_path / "more.json").exists()

    def test_so_does_a_model_of_torchvision(self, survey: Path, key: Key, tmp_path: Path) -> None:
        weights = tmp_path / "weights.pth"
        torch.save(torchvision.models.get_model("mobilenet_v3_small", weights=None).state_dict(), weights)
        recogniser = f"torchvision:mobilenet_v3_small={weights}"
        assert self.ask(survey, recogniser, tmp_path / "answers.json").exit_code == 0
        assert len(read_answers(tmp_path / "answers.json", key).answers) == 7
        weights.write_bytes(b"no weights")
        with pytest.raises(BadInput, match="torchvision model mobilenet_v3_small cannot be used"):
            ask_recogniser(survey / "survey.html", recogniser, tmp_path / "more.json")

    @pytest.mark.parametrize(
        ("recogniser", "reason"),
        [
            ("resnet", "is neither torchvision:MODEL, nor MODULE:FUNCTION, nor a URL"),
            ("no_such_module:f", "no_such_module cannot be imported"),
            ("json:no_such_function", "json has no function no_such_function"),
            ("builtins:str", "returns names, not"),
            ("torchvision:no_such_model", "torchvision model no_such_model cannot be used"),
            ("http://127.0.0.1:1/", "does not answer"),
        ],
    )
    def test_who_cannot_be_asked_is_said(self, survey: Path, tmp_path: Path, recogniser: str, reason: str) -> None:
        with pytest.raises(BadInput, match=reason):
            ask_recogniser(survey / "survey.html", recogniser, tmp_path / "answers.json")
        assert not (tmp_path / "answers.json").exists()
        with pytest.raises(BadInput, match="is not the page of a survey"):
            ask_recogniser(survey / "key.json", recogniser, tmp_path / "answers.json")
