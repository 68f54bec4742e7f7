(** T2, parts 1 and 4, on a finite probability space: points of one class are aligned on average, without a margin,
    and label noise costs a factor. *)

From mathcomp Require Import all_ssreflect all_fingroup all_algebra ring.
From ICL Require Import Attention.

Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.

Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

(** A random point with a label, on a finite probability space: outcome [w] has probability [weight w]. *)
Record sample (R : realFieldType) (d : nat) (C : finType) := Sample {
  outcome : finType;
  weight : outcome -> R;
  point : outcome -> 'cV[R]_d;
  class : outcome -> C
}.

Section Alignment.

Variables (R : realFieldType) (d : nat) (C : finType).
Implicit Types S T : sample R d C.

(** E x, v_c = E[x 1{y = c}], the probability of a class, and the mean of a class. *)
Definition expectation S : 'cV[R]_d := \sum_w weight w *: point (s := S) w.
Definition part S c : 'cV[R]_d := \sum_w (weight w * (class w == c)%:R) *: point (s := S) w.
Definition prob S c : R := \sum_w weight w * (class (s := S) w == c)%:R.
Definition class_expectation S c : 'cV[R]_d := (prob S c)^-1 *: part S c.

(** E[<x, x'> 1{y = y'}] and E[<x, x'> 1{y <> y'}], where (x, y) and (x', y') are independent. *)
Definition agree S T : R :=
  \sum_w \sum_w' weight w * weight w' * ((class (s := S) w == class (s := T) w')%:R * dot (point w) (point w')).
Definition differ S T : R :=
  \sum_w \sum_w' weight w * weight w' * ((class (s := S) w != class (s := T) w')%:R * dot (point w) (point w')).

(** What makes the weights probabilities. *)
Definition probability S := (forall w, 0 <= weight (s := S) w) /\ \sum_w weight (s := S) w = 1.

Lemma agree_parts S T : agree S T = \sum_c dot (part S c) (part T c).
Proof.
under [RHS]eq_bigr => c _ do rewrite dot_suml.
rewrite [RHS]exchange_big; apply: eq_bigr => w _ /=.
under [RHS]eq_bigr => c _ do rewrite dot_sumr.
rewrite [RHS]exchange_big; apply: eq_bigr => w' _ /=.
rewrite (bigD1 (class w)) //= big1 ?addr0 => [|c /negbTE wc]; last by rewrite eq_sym wc mulr0 dotZl mul0r.
by rewrite eqxx mulr1 dotZl dotZr [class w' == _]eq_sym; move: (dot _ _) (_ == _)%:R => q b; ring.
Qed.

Lemma agree_differ S T : agree S T + differ S T = dot (expectation S) (expectation T).
Proof.
rewrite -big_split dot_suml; apply: eq_bigr => w _; rewrite dot_sumr -big_split; apply: eq_bigr => w' _ /=.
by rewrite dotZl dotZr; case: (class w == class w') => /=; move: (dot _ _) => q; ring.
Qed.

(** 1. Where labels agree, the inner product is on average a sum of squares; where they differ it is minus that, if
    the points have mean zero. Nothing else is assumed. *)
Theorem T2_aligned S : agree S S = \sum_c dot (part S c) (part S c) /\ 0 <= agree S S.
Proof. by rewrite agree_parts; split=> //; apply: sumr_ge0 => c _; apply: dot_ge0. Qed.

(** The other side of 1. *)
Theorem T2_opposed S : expectation S = 0 -> differ S S = - agree S S.
Proof. by move=> centred; apply/eqP; rewrite -addr_eq0 addrC agree_differ centred dot0l. Qed.

(** Both vanish if and only if the mean of each class that occurs is zero. *)
Theorem T2_vanish S : probability S ->
  agree S S = 0 <-> forall c, prob S c != 0 -> class_expectation S c = 0.
Proof.
case=> weight_ge0 _; have [-> _] := T2_aligned S; split=> [/eqP|zero].
  rewrite psumr_eq0 => [/allP zero c _|c _]; last exact: dot_ge0.
  by have := zero c (mem_index_enum c); rewrite /= dot_eq0 /class_expectation => /eqP ->; rewrite scaler0.
apply: big1 => c _; apply/eqP; rewrite dot_eq0; have [pc|pc] := eqVneq (prob S c) 0; last first.
  by have /eqP := zero c pc; rewrite scaler_eq0 invr_eq0 (negbTE pc).
have term_ge0 (w : outcome S) : 0 <= weight w * (class w == c)%:R by rewrite mulr_ge0 ?ler0n.
move/eqP: pc; rewrite psumr_eq0 => [/allP pc|w _]; last exact: term_ge0.
by rewrite /part big1 // => w _; have /eqP := pc w (mem_index_enum w) => /= ->; rewrite scale0r.
Qed.

(** Label noise: with probability [eta] a label becomes one of the others, each as likely. *)
Definition flip (eta : R) (k c : C) : R := if c == k then 1 - eta else eta / (#|C|%:R - 1).
Definition noisy (eta : R) S : sample R d C :=
  @Sample R d C [finType of outcome S * C] (fun wc => weight wc.1 * flip eta (class wc.1) wc.2)
    (fun wc => point wc.1) (fun wc => wc.2).

Section Noise.

Variables (eta : R) (S : sample R d C).
Hypothesis two_classes : (1 < #|C|)%N.
Hypothesis centred : expectation S = 0.

Let factor := 1 - #|C|%:R * eta / (#|C|%:R - 1).

Lemma K1_neq0 : #|C|%:R - 1 != 0 :> R.
Proof. by rewrite gt_eqF // subr_gt0 ltr1n. Qed.

Lemma flipE k c : flip eta k c = eta / (#|C|%:R - 1) + factor * (k == c)%:R.
Proof.
rewrite /flip eq_sym; case: (k == c); rewrite ?mulr0 ?addr0 // mulr1 /factor.
by field; rewrite K1_neq0.
Qed.

Lemma flip_sum k : \sum_c flip eta k c = 1.
Proof.
have const (a : R) : \sum_(c : C) a = #|C|%:R * a by rewrite sumr_const mulr_natl.
rewrite (eq_bigr _ (fun c _ => flipE k c)) big_split /= const -mulr_sumr (bigD1 k) //= eqxx.
rewrite big1 ?addr0 => [|c /negbTE]; last by rewrite eq_sym => ->.
by rewrite mulr1 /factor; move: K1_neq0; move: (#|C|%:R) => n n1; field.
Qed.

Lemma sum_parts T : \sum_c part T c = expectation T.
Proof.
rewrite exchange_big; apply: eq_bigr => w _; rewrite -scaler_suml -mulr_sumr (bigD1 (class w)) //= eqxx.
by rewrite big1 ?addr0 ?mulr1 // => c /negbTE; rewrite eq_sym => ->.
Qed.

Lemma part_noisy c : part (noisy eta S) c = factor *: part S c.
Proof.
rewrite /part /= -(pair_bigA _ (fun w k => (weight w * flip eta (class w) k * (k == c)%:R) *: point w)) /=.
rewrite (eq_bigr (fun w : outcome S => (eta / (#|C|%:R - 1)) *: (weight w *: point w)
    + factor *: ((weight w * (class w == c)%:R) *: point w))) => [|w _].
  by rewrite big_split /= -!scaler_sumr -/(expectation S) centred scaler0 add0r.
rewrite (bigD1 c) //= eqxx big1 ?addr0 => [|k /negbTE ->]; last by rewrite mulr0 scale0r.
by rewrite !scalerA -scalerDl flipE mulr1 mulrDr; congr ((_ + _) *: _); [apply: mulrC | apply: mulrCA].
Qed.

Lemma noisy_expectation : expectation (noisy eta S) = 0.
Proof.
by rewrite -sum_parts (eq_bigr _ (fun c _ => part_noisy c)) -scaler_sumr sum_parts centred scaler0.
Qed.

(** 4. One noisy label of the pair costs the factor 1 - K eta / (K - 1), two cost its square; on both sides of 1. *)
Theorem T2_one_noisy_label :
  agree (noisy eta S) S = factor * agree S S /\ differ (noisy eta S) S = factor * differ S S.
Proof.
suff agreeE : agree (noisy eta S) S = factor * agree S S.
  split=> //; rewrite T2_opposed // mulrN -agreeE.
  by apply/eqP; rewrite -addr_eq0 addrC agree_differ noisy_expectation dot0l.
by rewrite !agree_parts mulr_sumr; apply: eq_bigr => c _; rewrite part_noisy dotZl.
Qed.

(** Both labels noisy. *)
Theorem T2_two_noisy_labels : agree (noisy eta S) (noisy eta S) = factor ^+ 2 * agree S S
  /\ differ (noisy eta S) (noisy eta S) = factor ^+ 2 * differ S S.
Proof.
suff agreeE : agree (noisy eta S) (noisy eta S) = factor ^+ 2 * agree S S.
  by split=> //; rewrite !T2_opposed ?noisy_expectation // agreeE mulrN.
by rewrite !agree_parts mulr_sumr; apply: eq_bigr => c _; rewrite part_noisy dotZl dotZr mulrA.
Qed.

End Noise.
End Alignment.
