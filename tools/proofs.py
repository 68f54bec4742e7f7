"""Compile the proofs in proofs/, and refuse any that rests on an axiom.

Use it through `make proofs`. Four things are asked: that Coq accepts every file; that no file holds a word that lets a
gap pass (`FORBIDDEN`); that Coq says of every theorem and lemma "Closed under the global context"; that book/proofs.md
shows what was proved, as it stands in the files. With --write the page is written instead.

It needs Python alone, and Coq with MathComp.
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "proofs"
PAGE = ROOT / "book" / "proofs.md"
PACKAGES = "coq libcoq-mathcomp-algebra libcoq-mathcomp-fingroup libcoq-mathcomp-algebra-tactics"
MISSING = f"Coq 8.16 with MathComp 1.15 was not found; on Debian 12: apt install {PACKAGES}"
CLOSED = "Closed under the global context"
BEGIN, END = "<!-- written by make proofs: begin -->\n", "<!-- written by make proofs: end -->\n"
# Words that state without proof, or switch off a check of the kernel.
FORBIDDEN = re.compile(
    r"\b(Axioms?|Parameters?|Conjectures?|Admitted|admit|give_up|bypass_check|(?:Guard|Positivity|Universe) Checking"
    r"|type-in-type|Declare ML Module)\b"
)
SHOWN = {
    "Implicit",
    "Variable",
    "Variables",
    "Hypothesis",
    "Hypotheses",
    "Let",
    "Definition",
    "Fixpoint",
    "Record",
    "Theorem",
}


class Sentence(NamedTuple):
    """A sentence of Coq, or a comment: its text, and the line on which it begins."""

    text: str
    line: int

    @property
    def word(self) -> str:
        return re.match(r"\(\*\*?|\S+?(?=[\s.]|$)", self.text).group()

    @property
    def name(self) -> str:
        return self.text.split(maxsplit=2)[1].rstrip(":.")


def sentences(source: str) -> list[Sentence]:
    """Sentences and comments in order; comments may be nested, and one inside a sentence belongs to it."""
    found, start, place, depth = [], None, 0, 0
    while place < len(source):
        pair = source[place : place + 2]
        if start is None and not source[place].isspace():
            start, comment = place, pair == "(*"
        if pair == "(*":
            depth, place = depth + 1, place + 1
        elif pair == "*)":
            depth, place = depth - 1, place + 1
        ends = depth == 0 and (
            (pair == "*)" and comment) or (source[place] == "." and not source[place + 1 : place + 2].strip())
        )
        if start is not None and ends:
            found.append(Sentence(source[start : place + 1], source.count("\n", 0, start) + 1))
            start = None
        place += 1
    if start is not None:
        raise ValueError(f"line {source.count(chr(10), 0, start) + 1}: a sentence does not end")
    return found


def gaps(source: str) -> list[str]:
    """What a file may not say, with its line; comments may say anything."""
    return [
        f"line {sentence.line}: {found}"
        for sentence in sentences(source)
        if not sentence.text.startswith("(*")
        for found in FORBIDDEN.findall(sentence.text)
    ]


def statements(source: str, words: tuple[str, ...] = ("Theorem", "Lemma")) -> list[Sentence]:
    return [sentence for sentence in sentences(source) if sentence.word in words]


def files(folder: Path = FOLDER) -> list[Path]:
    """The files in the order in which they need each other."""
    names = [line for line in (folder / "_CoqProject").read_text(encoding="utf-8").splitlines() if line.endswith(".v")]
    if sorted(names) != sorted(path.name for path in folder.glob("*.v")):
        raise ValueError(f"{folder / '_CoqProject'} does not name the files of its folder")
    return [folder / name for name in names]


def coqc(path: Path) -> str:
    """Compile one file where it lies, and return what Coq printed.

    Raises:
        RuntimeError: where Coq is missing, or does not accept the file; with Coq's words.
    """
    options = re.findall(r"-arg (\S+)", (path.parent / "_CoqProject").read_text(encoding="utf-8"))
    try:
        done = subprocess.run(
            ["coqc", *options, "-Q", ".", "ICL", path.name], cwd=path.parent, capture_output=True, text=True
        )
    except FileNotFoundError:
        raise RuntimeError(MISSING) from None
    if done.returncode:
        absent = re.search(r"(Cannot find|Unable to locate)[^.]*mathcomp", done.stderr)
        raise RuntimeError(MISSING if absent else f"{path.name} is not accepted.\n{done.stderr.strip()}")
    return done.stdout


def prove(folder: Path = FOLDER) -> dict[str, str]:
    """Compile all files in a copy of the folder; for each theorem and lemma, as File.name, what it assumes.

    Raises:
        RuntimeError: where a file has a gap or is not accepted, or where something proved assumes an axiom.
    """
    paths = files(folder)
    for path in paths:
        if found := gaps(path.read_text(encoding="utf-8")):
            raise RuntimeError(f"{path.name} has a gap.\n" + "\n".join(found))
    names = [f"{path.stem}.{one.name}" for path in paths for one in statements(path.read_text(encoding="utf-8"))]
    with tempfile.TemporaryDirectory() as place:
        shutil.copytree(folder, place, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".*", "*.vo*", "*.glob"))
        for path in paths:
            print(f"coqc {path.name}", flush=True)
            coqc(Path(place) / path.name)
        asked = [f"From ICL Require {path.stem}.\n" for path in paths]
        asked += [f'Goal True. idtac "@ {name}". Abort.\nPrint Assumptions {name}.\n' for name in names]
        (Path(place) / "Asked.v").write_text("".join(asked), encoding="utf-8")
        printed = coqc(Path(place) / "Asked.v").split("@ ")[1:]
    answers = {name: " ".join(answer.split()) for name, _, answer in (part.partition("\n") for part in printed)}
    if list(answers) != names:
        raise RuntimeError("Coq did not answer for each theorem")
    if open_ := {name: answer for name, answer in answers.items() if answer != CLOSED}:
        raise RuntimeError("\n".join(f"{name} is not proved. {answer}" for name, answer in open_.items()))
    return answers


def prose(comment: str) -> str:
    """A comment as Markdown: what stands in brackets is code."""
    text = " ".join(comment.removeprefix("(**").removesuffix("*)").split())
    if text.startswith("** "):
        return f"### {text[3:]}"
    return re.sub(r"(?<!\w)\[([^\]]*)\]", r"`\1`", text)


def shown(path: Path, answers: dict[str, str]) -> str:
    """One file as the page shows it: all but imports, lemmas and proofs."""
    found = sentences(path.read_text(encoding="utf-8"))
    stated = " ".join(sentence.text for sentence in found if sentence.word == "Theorem")
    title = prose(found[0].text)
    parts, pending, code = (
        [f"## `{path.stem}`", title, f"From {{download}}`proofs/{path.name} <../proofs/{path.name}>`."],
        [],
        [],
    )

    def flush() -> None:
        if code:
            parts.append("```coq\n" + "\n".join(code) + "\n```")
            code.clear()

    for sentence in found[1:]:
        if sentence.word == "(**":
            pending = [prose(sentence.text)]
            if pending[0].startswith("#"):
                flush()
                parts.append(pending.pop())
            continue
        internal = sentence.word == "Let" and not re.search(rf"\b{re.escape(sentence.name)}(?!\w)", stated)
        if sentence.word in SHOWN and not internal:
            if pending or sentence.word == "Theorem":
                flush()
            if sentence.word == "Theorem":
                parts.append(f"(coq-{sentence.name.replace('_', '-').lower()})=\n### `{sentence.name}`")
            parts += pending
            code.append(sentence.text)
            if sentence.word == "Theorem":
                flush()
                name = f"{path.stem}.{sentence.name}"
                parts.append(f"Line {sentence.line}. `Print Assumptions {name}`: *{answers[name]}*.")
        pending = []
    flush()
    return "\n\n".join(parts) + "\n"


def page(answers: dict[str, str], folder: Path = FOLDER) -> str:
    """book/proofs.md with its list of theorems as the files and Coq have it."""
    text = PAGE.read_text(encoding="utf-8")
    before, after = text.partition(BEGIN)[0], text.partition(END)[2]
    return before + BEGIN + "\n" + "\n".join(shown(path, answers) for path in files(folder)) + "\n" + END + after


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="compile the proofs, and refuse any that rests on an axiom")
    parser.add_argument("--write", action="store_true", help="write the list of theorems in book/proofs.md")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where the proofs are")
    options = parser.parse_args(arguments)
    try:
        answers = prove(options.folder)
    except (RuntimeError, ValueError) as error:
        sys.exit(str(error))
    for path in files(options.folder):
        for one in statements(path.read_text(encoding="utf-8"), ("Theorem",)):
            print(f"{path.stem}.{one.name}: {answers[f'{path.stem}.{one.name}']}")
    print(f"{len(answers)} theorems and lemmas, none of which assumes an axiom")
    if options.write:
        PAGE.write_text(page(answers), encoding="utf-8")
    elif options.folder == FOLDER and page(answers) != PAGE.read_text(encoding="utf-8"):
        sys.exit("book/proofs.md does not show what was proved: make proofs ARGS=--write")


if __name__ == "__main__":
    main()
