"""The proofs: their page says what the files say, and the checker finds gaps that were planted."""

import re
import shutil
import subprocess

import pytest

from tools import proofs

ASSUMED = {
    f"{path.stem}.{one.name}": proofs.CLOSED
    for path in proofs.files()
    for one in proofs.statements(path.read_text(encoding="utf-8"))
}
needs_coq = pytest.mark.skipif(shutil.which("coqc") is None, reason=f"no coqc: {proofs.MISSING}")
SOUND = """(** A. *)

Section A.
Variable n : nat.

(** Said in words of [n]. *)
Theorem t : n = n.
Proof. reflexivity. Qed.
End A.
"""


def folder(tmp_path, source):
    """A folder of proofs with one file."""
    (tmp_path / "_CoqProject").write_text("-Q . ICL\nA.v\n")
    (tmp_path / "A.v").write_text(source)
    return tmp_path


def test_page_shows_what_the_files_state():
    """Where this fails: make proofs ARGS=--write. That Coq closes each is for `make proofs` to find."""
    assert proofs.page(ASSUMED) == proofs.PAGE.read_text(encoding="utf-8")


def test_files_have_no_gap_and_theorems_of_every_chapter():
    for path in proofs.files():
        assert proofs.gaps(path.read_text(encoding="utf-8")) == []
    names = {name.partition(".")[2] for name in ASSUMED}
    assert {"network_equivariant", "commutant_dimension", "T2_aligned", "T3_matrix_bounds", "T5_posterior"} <= names
    assert {"P1_population", "P2_grows", "P2_jacobian"} <= names


def test_links_of_the_page_lead_to_theorems():
    text = proofs.PAGE.read_text(encoding="utf-8")
    assert set(re.findall(r"\]\((coq-[\w-]+)\)", text)) <= set(re.findall(r"^\((coq-[\w-]+)\)=$", text, re.MULTILINE))


def test_sentences_are_told_from_comments():
    source = "(* a. (* b. *) c. *) Lemma a.b : 1.5 = x (* d. *). Proof. by []. Qed."
    assert [(one.word, one.line) for one in proofs.sentences(source)] == [
        ("(*", 1), ("Lemma", 1), ("Proof", 1), ("by", 1), ("Qed", 1)
    ]  # fmt: skip
    with pytest.raises(ValueError, match="line 2: a sentence does not end"):
        proofs.sentences("Qed.\nLemma a")


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("Axiom a : False.", "Axiom"),
        ("Local Axiom a : False.", "Axiom"),
        ("Parameters a b : nat.", "Parameters"),
        ("Lemma a : False. Admitted.", "Admitted"),
        ("Lemma a : False. Proof. admit. Admitted.", "admit"),
        ("Unset Guard Checking.", "Guard Checking"),
        ("#[bypass_check(positivity)] Inductive a := A : (a -> a) -> a.", "bypass_check"),
    ],
)
def test_gaps_are_seen(line, word):
    assert f"line 2: {word}" in proofs.gaps(f"Section A.\n{line}\n")
    assert proofs.gaps(f"(* {line} *)") == []


def test_a_file_that_the_list_leaves_out_is_refused(tmp_path):
    place = folder(tmp_path, SOUND)
    (place / "B.v").write_text(SOUND)
    with pytest.raises(ValueError, match="does not name the files"):
        proofs.prove(place)


def test_without_coq_it_says_how_to_get_it(tmp_path, monkeypatch):
    place = folder(tmp_path, SOUND)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SystemExit) as stopped:
        proofs.main(["--folder", str(place)])
    assert stopped.value.code == proofs.MISSING and "apt install coq " in proofs.MISSING


@needs_coq
def test_a_sound_file_passes(tmp_path, capsys):
    proofs.main(["--folder", str(folder(tmp_path, SOUND))])
    assert f"A.t: {proofs.CLOSED}\n1 theorems and lemmas" in capsys.readouterr().out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["A.v", "_CoqProject"]


@needs_coq
@pytest.mark.parametrize(
    ("planted", "message"),
    [
        ("Axiom a : False.\nTheorem t : 0 = 1.\nProof. destruct a. Qed.\n", "A.v has a gap.\nline 1: Axiom"),
        ("Theorem t : 0 = 1.\nProof. Admitted.\n", "A.v has a gap.\nline 2: Admitted"),
        # No forbidden word: outside a section these are axioms, which only Coq can tell.
        (
            "Variable a : False.\nTheorem t : 0 = 1.\nProof. destruct a. Qed.\n",
            "A.t is not proved. Axioms: A.a : False",
        ),
        ("Hypothesis a : 0 = 1.\nLemma t : 0 = 1.\nProof. exact a. Qed.\n", "A.t is not proved. Axioms: A.a : 0 = 1"),
        # An axiom of the library.
        (
            "Require Import Classical.\nTheorem t : forall P : Prop, P \\/ ~ P.\nProof. exact classic. Qed.\n",
            "A.t is not proved. Axioms: Classical_Prop.classic :",
        ),
        ("Theorem t : 0 = 1.\nProof. reflexivity. Qed.\n", "A.v is not accepted."),
    ],
)
def test_a_planted_gap_fails(tmp_path, planted, message):
    with pytest.raises(SystemExit) as stopped:
        proofs.main(["--folder", str(folder(tmp_path, planted))])
    assert stopped.value.code.startswith(message)


@needs_coq
def test_make_proofs_fails_with_the_checker(tmp_path):
    place = folder(tmp_path, "Theorem t : 0 = 1.\nProof. Admitted.\n")
    command = ["make", "-s", "proofs", f"ARGS=--folder {place}"]
    done = subprocess.run(command, cwd=proofs.ROOT, capture_output=True, text=True)
    assert done.returncode != 0 and "A.v has a gap." in done.stderr
